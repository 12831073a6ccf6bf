//! The published conformance suite on the simulator: schedule, seed and chip come from `VLM_ASCEND_SIM_TEST`.
//!
//! Every test's name begins with `sim` and what was simulated, so that nobody takes a pass for one on an NPU. The process fails if the
//! simulator saw a violation of the interface or a leak. With `VLM_ASCEND_HARDWARE=1` the same tests run on the machine's own NPU, and
//! their names begin with `npu`.

mod common;

use libtest_mimic::Arguments;
use std::process::ExitCode;
use std::sync::Arc;
use vlm_ascend::AscendDevice;
use vlm_core::Device;
use vlm_core::conformance::{Expected, Mode, trials};

fn main() -> ExitCode {
    let hardware = std::env::var("VLM_ASCEND_HARDWARE").is_ok_and(|v| v == "1");
    let settings = std::env::var("VLM_ASCEND_SIM_TEST").unwrap_or_else(|_| "schedule=random,seed=1".to_owned());
    if !hardware {
        common::simulator(&settings);
    }
    // Not from the registry, which keeps devices open: it is closed before the simulator counts what is left.
    let device = match AscendDevice::open(0) {
        Ok(device) if std::env::var_os("VLM_ASCEND_WITHOUT_FUSED").is_some() => device.without_fused(),
        Ok(device) => device,
        Err(e) => panic!("{e:?}"),
    };
    let device = Device::from_kernels("ascend:0", Arc::new(device));
    let properties = device.kernels().properties();
    let soc = properties.details.iter().find(|(key, _)| key == "soc").map_or("", |(_, value)| value).to_owned();
    let expected =
        Expected::parse(vlm_ascend::expected_failures(&soc)).expect("the list of expected failures is sound");
    let all = trials(&[device], &expected, Mode::Test);
    let kind = if hardware { format!("npu {soc}") } else { format!("sim {soc} {settings}") };
    let all = all.into_iter().map(|t| t.with_kind(kind.clone())).collect();
    libtest_mimic::run(&Arguments::from_args(), all).exit_code()
}
