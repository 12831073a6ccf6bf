//! How tensors print: `Debug` is one line of facts, `Display` shows the elements.

use super::Tensor;
use crate::DType;
use std::fmt;

/// More elements than this are shortened to the first and last [`EDGE`] of each dimension.
const MAX_SHOWN: usize = 1000;
const EDGE: usize = 3;

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({}{}, {}", self.dtype(), self.shape(), self.device())?;
        if let Some(op) = self.grad_op() {
            write!(f, ", grad: {op}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = match self.cells(f.precision().unwrap_or(4)) {
            Ok(cells) => cells,
            Err(e) => return write!(f, "{self:?} that cannot be read: {e}"),
        };
        let width = cells.iter().map(String::len).max().unwrap_or(0);
        let short = self.count() > MAX_SHOWN;
        self.write_dim(f, &cells, 0, 0, width, short)?;
        write!(f, "\n{self:?}")
    }
}

impl Tensor {
    fn cells(&self, precision: usize) -> crate::Result<Vec<String>> {
        let plain = self.detach();
        Ok(match self.dtype() {
            DType::Bool => plain.to_vec::<bool>()?.iter().map(bool::to_string).collect(),
            d if d.is_int() => plain.to_dtype(DType::I64)?.to_vec::<i64>()?.iter().map(i64::to_string).collect(),
            _ => {
                let values = plain.to_dtype(DType::F64)?.to_vec::<f64>()?;
                let largest = values.iter().filter(|v| v.is_finite()).fold(0.0f64, |m, v| m.max(v.abs()));
                let smallest = values.iter().filter(|v| **v != 0.0).fold(f64::MAX, |m, v| m.min(v.abs()));
                let scientific = largest >= 1e6 || (smallest < 1e-4 && largest < 1.0);
                let show = |v: &f64| if scientific { format!("{v:.precision$e}") } else { format!("{v:.precision$}") };
                values.iter().map(show).collect()
            }
        })
    }

    fn write_dim(
        &self,
        f: &mut fmt::Formatter<'_>,
        cells: &[String],
        dim: usize,
        start: usize,
        width: usize,
        short: bool,
    ) -> fmt::Result {
        let Some(&size) = self.shape().get(dim) else {
            return f.write_str(&cells[start]);
        };
        let last = dim + 1 == self.rank();
        let step: usize = self.shape()[dim + 1..].iter().product();
        let hidden = if short && size > 2 * EDGE { EDGE..size - EDGE } else { 0..0 };
        f.write_str("[")?;
        for i in (0..size).filter(|i| !hidden.contains(i) || *i == hidden.start) {
            if i > 0 && last {
                f.write_str(", ")?;
            } else if i > 0 {
                write!(f, ",\n{:1$}", "", dim + 1)?;
            }
            if hidden.contains(&i) {
                f.write_str("...")?;
            } else if last {
                write!(f, "{:>width$}", cells[start + i])?;
            } else {
                self.write_dim(f, cells, dim + 1, start + i * step, width, short)?;
            }
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use crate::{Device, Tensor};

    #[test]
    fn elements_line_up_and_facts_follow() {
        let x = Tensor::from_slice(&[1.0f32, -2.5, 10.0, 0.125], [2, 2], &Device::reference()).unwrap();
        assert_eq!(x.to_string(), "[[ 1.0000, -2.5000],\n [10.0000,  0.1250]]\nTensor(f32[2, 2], ref)");
        assert_eq!(format!("{:.1}", x.transpose(0, 1).unwrap()).lines().next().unwrap(), "[[ 1.0, 10.0],");
    }

    #[test]
    fn long_tensors_are_shortened() {
        let x = Tensor::arange(0.0, 2000.0, 1.0, crate::DType::I64, &Device::reference()).unwrap();
        let text = x.to_string();
        assert!(text.starts_with("[   0,    1,    2, ..., 1997, 1998, 1999]"), "{text}");
    }
}
