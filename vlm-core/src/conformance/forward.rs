//! Results against the reference device.

use super::case::{Case, Kind};
use super::operand::{Layout, Made, make};
use super::tolerance::{Tolerance, compare};
use crate::backend::Support;
use crate::{DType, Device, ErrorKind, Result, Tensor};

/// What went wrong, for people.
pub(super) type Verdict = std::result::Result<(), String>;

/// All operands of a case.
pub(super) fn operands(
    case: &Case,
    shapes: &[Vec<usize>],
    dtype: DType,
    layout: Layout,
    device: &Device,
) -> Result<Vec<Made>> {
    let each = case.operands.iter().zip(shapes).enumerate();
    each.map(|(i, (o, shape))| {
        let dtype = if let Kind::Fixed(fixed) = o.kind { fixed } else { dtype };
        make(o.values, dtype, shape, layout, i as u64, device)
    })
    .collect()
}

/// Whether the device computes with this type: only then can it have gradients.
pub(super) fn computes(dtype: DType, device: &Device) -> bool {
    device.kernels().properties().dtypes.contains(&dtype)
}

/// The element types that a device has to know for a case.
pub(super) fn refused(case: &Case, dtype: DType, device: &Device) -> bool {
    case.covers.iter().any(|&op| device.kernels().supports(op, &[dtype]) == Support::Unsupported)
}

/// The values of a result as `f64`.
pub(super) fn values(t: &Tensor) -> Result<Vec<f64>> {
    let bytes = t.contiguous()?.to_bytes()?;
    Tensor::from_bytes(&bytes, t.dtype(), t.shape(), &Device::reference())?.to_dtype(DType::F64)?.to_vec::<f64>()
}

pub(super) fn check(case: &Case, shapes: &[Vec<usize>], dtype: DType, layout: Layout, device: &Device) -> Verdict {
    let say = |e: crate::Error| format!("{e:?}");
    let made = operands(case, shapes, dtype, layout, device).map_err(say)?;
    let tested: Vec<Tensor> = made.iter().map(|m| m.tested.clone()).collect();
    let got = (case.body)(&tested);
    if refused(case, dtype, device) {
        return match got {
            Err(e) if e.kind() == ErrorKind::Unsupported => Ok(()),
            Err(e) => Err(format!("the device says Unsupported; expected that kind of error, found {e:?}")),
            Ok(_) => Err("the device says Unsupported, but the operation works".to_owned()),
        };
    }
    let got = got.map_err(say)?;
    let same: Vec<Tensor> = made.iter().map(|m| m.reference.clone()).collect();
    let like = (case.body)(&same).map_err(say)?;
    // Exact numbers: the same operands, widened without loss, through the reference device in f64.
    let exact = if dtype.is_float() && case.tolerance != Tolerance::Exact {
        let wide = |(t, o): (&Tensor, &super::case::Operand)| {
            if o.kind == Kind::Tested { t.to_dtype(DType::F64) } else { Ok(t.clone()) }
        };
        let wide: Vec<Tensor> = same.iter().zip(&case.operands).map(wide).collect::<Result<_>>().map_err(say)?;
        (case.body)(&wide).map_err(say)?
    } else {
        like.clone()
    };
    for (i, ((got, like), exact)) in got.iter().zip(&like).zip(&exact).enumerate() {
        if (got.shape(), got.dtype()) != (like.shape(), like.dtype()) {
            return Err(format!(
                "result {i} is {}{}, expected {}{}",
                got.dtype(),
                got.shape(),
                like.dtype(),
                like.shape()
            ));
        }
        if got.device() != device {
            return Err(format!("result {i} is on {}", got.device()));
        }
        let (got_values, want) = (values(got).map_err(say)?, values(exact).map_err(say)?);
        // A number beyond the type's range is an infinity there.
        let want: Vec<f64> = if got.dtype().is_float() { round_beyond(&want, got.dtype()) } else { want };
        let tolerance = if got.dtype().is_float() { case.tolerance } else { Tolerance::Exact };
        if let Some(wrong) = compare(&got_values, &want, tolerance, got.dtype()) {
            return Err(format!("result {i}: {wrong}"));
        }
    }
    // Operands are never written to.
    for (i, (m, before)) in made.iter().zip(&tested).enumerate() {
        let same = values(before).map_err(say)?;
        if let Some(wrong) = compare(&same, &values(&m.reference).map_err(say)?, Tolerance::Exact, dtype) {
            return Err(format!("operand {i} was changed: {wrong}"));
        }
    }
    Ok(())
}

/// Numbers that `dtype` cannot hold become infinities.
fn round_beyond(values: &[f64], dtype: DType) -> Vec<f64> {
    let max = match dtype {
        DType::F16 => 65_520.0,
        DType::BF16 | DType::F32 => f64::from(f32::MAX),
        _ => f64::INFINITY,
    };
    values.iter().map(|&v| if v.abs() >= max { v.signum() * f64::INFINITY } else { v }).collect()
}
