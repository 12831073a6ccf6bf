//! What goes wrong while an OM model is loaded and run, on the simulator: every call fails once, memory ends, the device fails.
//! Whatever happens is an error with a kind, and nothing is left behind.

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use vlm_ascend::AscendDevice;
use vlm_ascend::om::OmModel;
use vlm_core::{DType, Device, ErrorKind, Result, Tensor};

const ONNX: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/patches.onnx");

fn converted(name: &str, more: &[&str]) -> PathBuf {
    let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("om-faults-{name}-{}", std::process::id()));
    let mut arguments = vec!["--framework=5".to_owned(), "--soc_version=Ascend910B3".to_owned()];
    arguments.extend([format!("--model={ONNX}"), format!("--output={}", base.display())]);
    arguments.extend(more.iter().map(|&m| m.to_owned()));
    assert_eq!(vlm_ascend_sim::atc(&arguments), 0);
    base.with_extension("om")
}

fn open() -> Result<Device> {
    Ok(Device::from_kernels("ascend:0", Arc::new(AscendDevice::open(0)?)))
}

/// Opens the device, loads the model, runs it twice in two batches, and fetches all.
fn whole(path: &Path, fault: &str) -> Result<Vec<f32>> {
    common::control("clear-faults");
    let device = open()?;
    if !fault.is_empty() {
        common::control(&format!("set fault={fault}"));
    }
    let model = OmModel::load(&device, path)?;
    let mut all = Vec::new();
    for batch in [2, 1] {
        let pixels = Tensor::full([batch, 3, 8, 8], 0.25, DType::F32, &device)?;
        let outputs = model.run(&[&pixels])?;
        all.extend(outputs[1].to_vec::<f32>()?);
    }
    Ok(all)
}

// One test, as faults are the process's.
#[test]
fn sim_whatever_fails_is_an_error_and_leaves_nothing() {
    common::simulator("schedule=random,seed=11");
    let gears = converted("gears", &["--input_shape=pixel_values:-1,3,8,8", "--dynamic_batch_size=1,2"]);
    let open_shapes = converted("open", &["--input_shape=pixel_values:1~4,3,8,8"]);
    for path in [&gears, &open_shapes] {
        let expected = whole(path, "").unwrap();
        let mut noticed = 0;
        for n in 1..200 {
            for code in [207_001, 100_000] {
                match whole(path, &format!("*#{n}={code}")) {
                    Ok(values) => assert_eq!(values, expected, "call {n}"),
                    Err(e) => {
                        noticed += 1;
                        assert!(e.to_string().contains("was told to fail"), "call {n}: {e}");
                    }
                }
                common::control("clear-faults");
                let left = common::report()["leaks"].clone();
                assert_eq!(left, serde_json::json!({}), "after call {n} of {} failed with {code}", path.display());
            }
        }
        assert!(noticed > 40, "only {noticed} of the calls that failed were noticed");
    }

    let full = whole(&gears, "aclmdlLoadFromFileWithMem#1=207001").unwrap_err();
    assert_eq!(full.kind(), ErrorKind::OutOfMemory, "{full}");
    let lost = whole(&gears, "run:aclmdlExecuteAsync#2=507015").unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::DeviceLost, "{lost}");
    assert!(lost.to_string().contains("aclmdlExecuteAsync"), "{lost}");
    let lost = whole(&open_shapes, "run:aclmdlExecute#1=507015").unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::DeviceLost, "{lost}");
    // The device is as good as before.
    assert!(whole(&gears, "").is_ok());
}
