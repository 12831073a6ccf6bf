//! How long cases take: an overview, no benchmark.

use super::case::Case;
use super::forward::operands;
use super::operand::Layout;
use crate::autograd::no_grad;
use crate::{DType, Device, Result, Tensor};
use std::time::{Duration, Instant};

/// How long each case is repeated.
const TIME: Duration = Duration::from_millis(20);

/// The median time of one call with the case's last (largest) shapes.
fn time(case: &Case, dtype: DType, device: &Device) -> Result<Duration> {
    let shapes = &case.shapes[case.shapes.len() - 1].1;
    let made = operands(case, shapes, dtype, Layout::Contiguous, device)?;
    let tested: Vec<Tensor> = made.into_iter().map(|m| m.tested).collect();
    let (mut times, start) = (Vec::new(), Instant::now());
    while times.len() < 3 || start.elapsed() < TIME {
        let before = Instant::now();
        no_grad(|| (case.body)(&tested))?;
        device.synchronize()?;
        times.push(before.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// One line per case and float type.
pub(super) fn print(cases: &[Case], device: &Device) {
    for case in cases {
        for &dtype in case.dtypes.iter().filter(|d| d.is_float()) {
            match time(case, dtype, device) {
                Ok(t) => println!("{device} perf/{}/{dtype} {:.2} us", case.name, t.as_secs_f64() * 1e6),
                Err(e) => println!("{device} perf/{}/{dtype} failed: {e}", case.name),
            }
        }
    }
}
