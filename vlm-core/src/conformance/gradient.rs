//! Gradients: by finite differences in `f64`, and against the reference device.

use super::case::{Case, Kind};
use super::forward::{Verdict, computes, operands, refused, values};
use super::operand::Layout;
use super::tolerance::{Tolerance, compare};
use crate::autograd::{GradcheckOptions, gradcheck};
use crate::{DType, Device, Error, ErrorKind, Result, Tensor};

/// Gradients of a case with the usual shapes in `f64` on `device` against finite differences on the same device.
pub(super) fn finite_differences(case: &Case, device: &Device) -> Verdict {
    let say = |e: Error| format!("{e:?}");
    let made = operands(case, &case.shapes[0].1, DType::F64, Layout::Contiguous, device).map_err(say)?;
    // Other floats than f64 (tables) are no inputs of the function.
    let fixed: Vec<Tensor> = made.iter().map(|m| m.tested.clone()).collect();
    let varied: Vec<usize> = (0..fixed.len()).filter(|&i| fixed[i].dtype() == DType::F64).collect();
    let inputs: Vec<Tensor> = varied.iter().map(|&i| fixed[i].clone()).collect();
    let body = |given: &[Tensor]| -> Result<Tensor> {
        let mut all = fixed.clone();
        varied.iter().zip(given).for_each(|(&i, t)| all[i] = t.clone());
        let mut results = (case.body)(&all)?;
        Ok(results.swap_remove(0))
    };
    let options = GradcheckOptions { eps: 1e-5, ..GradcheckOptions::default() };
    gradcheck(body, &inputs, &options).map_err(say)
}

/// The gradients of all operands of the tested type.
fn gradients(case: &Case, operands: &[Tensor], dtype: DType) -> Result<Vec<Tensor>> {
    let leaves: Vec<Tensor> = operands
        .iter()
        .zip(&case.operands)
        .map(|(t, o)| if o.kind == Kind::Tested { t.detach().requires_grad() } else { Ok(t.clone()) })
        .collect::<Result<_>>()?;
    let mut results = (case.body)(&leaves)?;
    let out = results.swap_remove(0);
    let host = Device::reference();
    // Whole sixteenths: the same number in every type.
    let seed: Vec<f64> = (0..out.count()).map(|i| (((i * 7919 + 13) % 29) as f64 - 11.0) / 16.0).collect();
    let seed = Tensor::from_slice(&seed, out.shape(), &host)?.to_dtype(out.dtype())?;
    let grads = out.backward_with(&seed.to_device(out.device())?)?;
    let tested = leaves.iter().zip(&case.operands).filter(|(_, o)| o.kind == Kind::Tested);
    tested
        .map(|(leaf, _)| {
            let grad = grads.require(leaf)?;
            if (grad.shape(), grad.dtype()) != (leaf.shape(), dtype) {
                let message = format!("the gradient of {dtype}{} is {}{}", leaf.shape(), grad.dtype(), grad.shape());
                return Err(Error::new(ErrorKind::Shape, "gradient", message));
            }
            Ok(grad.clone())
        })
        .collect()
}

/// Gradients on `device` against those of the reference device in `f64`.
pub(super) fn check(case: &Case, shapes: &[Vec<usize>], dtype: DType, layout: Layout, device: &Device) -> Verdict {
    let say = |e: Error| format!("{e:?}");
    if refused(case, dtype, device) || !computes(dtype, device) {
        return Ok(());
    }
    let made = operands(case, shapes, dtype, layout, device).map_err(say)?;
    let tested: Vec<Tensor> = made.iter().map(|m| m.tested.clone()).collect();
    let got = gradients(case, &tested, dtype).map_err(say)?;
    let wide = made.iter().zip(&case.operands);
    let wide = wide
        .map(|(m, o)| if o.kind == Kind::Tested { m.reference.to_dtype(DType::F64) } else { Ok(m.reference.clone()) });
    let wide: Vec<Tensor> = wide.collect::<Result<_>>().map_err(say)?;
    let want = gradients(case, &wide, DType::F64).map_err(say)?;
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        let (got, want) = (values(got).map_err(say)?, values(want).map_err(say)?);
        if let Some(wrong) = compare(&got, &want, Tolerance::Composite, dtype) {
            return Err(format!("gradient {i}: {wrong}"));
        }
    }
    Ok(())
}
