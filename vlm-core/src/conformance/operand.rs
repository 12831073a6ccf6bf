//! Operands: values by a rule, in a layout of every class.

use crate::backend::RandomKey;
use crate::random::Rng;
use crate::{DType, Device, Result, Tensor};

/// What the elements of an operand are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Values {
    /// About normal, without zeros or whole numbers; for integers small numbers of both signs where there are any.
    Normal,
    /// From 0.3 to 3; for integers 1 to 9.
    Positive,
    /// All different, in random order.
    Distinct,
    /// 0 to 3, many of them equal.
    Ties,
    /// Indices below this number.
    Below(i64),
    /// Classes below this number, each fourth one -100.
    Classes(i64),
    /// Truth values.
    Truth,
    /// Bytes.
    Bytes,
    /// Normal numbers in `f32` whatever type is tested.
    Single,
}

impl Values {
    pub(super) fn fixed_dtype(self) -> Option<DType> {
        match self {
            Values::Below(_) | Values::Classes(_) => Some(DType::I64),
            Values::Truth => Some(DType::Bool),
            Values::Bytes => Some(DType::U8),
            Values::Single => Some(DType::F32),
            _ => None,
        }
    }

    /// `n` of them, the same at every call with the same `salt`.
    fn make(self, n: usize, salt: u64, dtype: DType) -> Vec<f64> {
        let mut rng = Rng::new(RandomKey { seed: 77, stream: salt });
        let whole = !dtype.is_float();
        let signed = matches!(dtype, DType::I64 | DType::I32);
        if self == Values::Distinct {
            let mut all: Vec<f64> =
                (0..n).map(|i| i as f64 + if whole { 0.0 } else { 0.25 - n as f64 / 2.0 }).collect();
            rng.shuffle(&mut all);
            return all;
        }
        (0..n)
            .map(|i| match self {
                Values::Normal if whole => rng.below(8) as f64 + 1.0 - if signed { 4.0 } else { 0.0 },
                Values::Positive if whole => rng.below(9) as f64 + 1.0,
                // The sum of twelve uniform numbers; moved off the whole numbers.
                Values::Normal | Values::Single | Values::Distinct => {
                    let z: f64 = (0..12).map(|_| rng.uniform()).sum::<f64>() - 6.0;
                    if (z - z.round()).abs() < 0.02 { z + 0.05 } else { z }
                }
                Values::Positive => 0.3 + 2.7 * rng.uniform(),
                Values::Ties => rng.below(4) as f64,
                Values::Below(bound) => rng.below(bound as u64) as f64,
                Values::Classes(bound) => {
                    if i % 4 == 3 {
                        -100.0
                    } else {
                        rng.below(bound as u64) as f64
                    }
                }
                Values::Truth => rng.below(2) as f64,
                Values::Bytes => rng.below(256) as f64,
            })
            .collect()
    }
}

/// How an operand lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Row after row.
    Contiguous,
    /// Dimensions in reverse order.
    Transposed,
    /// A part of a larger storage, every second element of rows, from an offset.
    Sliced,
    /// The first dimension with several places repeats one.
    Broadcast,
}

impl Layout {
    pub(super) const ALL: [Layout; 4] = [Layout::Contiguous, Layout::Transposed, Layout::Sliced, Layout::Broadcast];

    pub(super) fn name(self) -> &'static str {
        match self {
            Layout::Contiguous => "contiguous",
            Layout::Transposed => "transposed",
            Layout::Sliced => "sliced",
            Layout::Broadcast => "broadcast",
        }
    }
}

/// An operand on the device under test, and the same numbers contiguous on the reference device.
pub(super) struct Made {
    pub(super) tested: Tensor,
    pub(super) reference: Tensor,
}

/// Makes operand number `salt` of a case.
pub(super) fn make(
    values: Values,
    dtype: DType,
    shape: &[usize],
    layout: Layout,
    salt: u64,
    device: &Device,
) -> Result<Made> {
    let host = Device::reference();
    let n: usize = shape.iter().product();
    let on_host = |values: &[f64], shape: &[usize]| Tensor::from_slice(values, shape, &host)?.to_dtype(dtype);
    let there = |t: &Tensor| Tensor::from_bytes(&t.contiguous()?.to_bytes()?, dtype, t.shape(), device);
    let plain = on_host(&values.make(n, salt, dtype), shape)?;
    let (tested, reference) = match layout {
        Layout::Contiguous => (there(&plain)?, plain),
        Layout::Transposed => {
            let reversed: Vec<isize> = (0..shape.len() as isize).rev().collect();
            (there(&plain.permute(&reversed)?)?.permute(&reversed)?, plain)
        }
        Layout::Sliced => {
            // What lies between is poison: not a number, or a number that is no index.
            let poison = if dtype.is_float() { f64::NAN } else { 99.0 };
            let wide: Vec<usize> =
                shape.iter().enumerate().map(|(d, &s)| if d + 1 == shape.len() { 2 * s + 3 } else { s + 2 }).collect();
            let around = on_host(&vec![poison; wide.iter().product()], &wide)?;
            let places = |t: &Tensor| -> Result<Tensor> {
                let mut part = t.clone();
                for (d, &s) in shape.iter().enumerate() {
                    let d = d as isize;
                    part = if d as usize + 1 == shape.len() {
                        part.slice(d, 1, 2 * s + 1, 2)?
                    } else {
                        part.narrow(d, 1, s)?
                    };
                }
                Ok(part)
            };
            let filled = write_into(&around, &places(&around)?, &plain)?;
            (places(&there(&filled)?)?, plain)
        }
        Layout::Broadcast => {
            let Some(dim) = shape.iter().position(|&s| s > 1) else {
                return Ok(Made { tested: there(&plain)?, reference: plain });
            };
            let one = plain.narrow(dim as isize, 0, 1)?.contiguous()?;
            (there(&one)?.broadcast_to(shape)?, one.broadcast_to(shape)?.contiguous()?)
        }
    };
    Ok(Made { tested, reference })
}

/// `whole` with `values` at the places that `part`, a view of it, shows.
fn write_into(whole: &Tensor, part: &Tensor, values: &Tensor) -> Result<Tensor> {
    let kernels = whole.device().kernels();
    let storage = kernels.copy(whole.view())?;
    let storage = kernels.copy_into(storage, part.layout(), values.view())?;
    Ok(Tensor::from_storage(storage, *whole.shape(), whole.device()))
}
