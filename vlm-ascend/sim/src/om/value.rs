//! Tensors as the operators of a model compute with them.

use super::proto;
use crate::types::{DType, Tensor, contiguous_strides};
use half::{bf16, f16};

/// Floats of any type as `f32`, integers and truth values as `i64`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    Float(Vec<f32>),
    Int(Vec<i64>),
}

/// A tensor in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Value {
    pub(crate) dtype: DType,
    pub(crate) dims: Vec<usize>,
    pub(crate) data: Data,
}

/// The element type of a number of ONNX's `TensorProto.DataType`.
pub(crate) fn from_onnx(number: i32) -> Result<DType, String> {
    Ok(match number {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        4 => DType::U16,
        5 => DType::I16,
        6 => DType::I32,
        7 => DType::I64,
        9 => DType::Bool,
        10 => DType::F16,
        16 => DType::BF16,
        _ => return Err(format!("ONNX's element type {number} is not simulated")),
    })
}

/// Elements of a shape; `None` where there are more than memory could have.
pub(crate) fn count(dims: &[usize]) -> Option<usize> {
    dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n < 1 << 40)
}

macro_rules! numbers {
    ($bytes:expr, $T:ty, $f:expr) => {
        $bytes.chunks_exact(size_of::<$T>()).map(|b| $f(<$T>::from_le_bytes(b.try_into().expect("its size")))).collect()
    };
}

macro_rules! bytes {
    ($values:expr, $f:expr) => {
        $values.iter().flat_map(|&v| $f(v).to_le_bytes()).collect()
    };
}

impl Value {
    pub(crate) fn floats(dtype: DType, dims: Vec<usize>, values: Vec<f32>) -> Self {
        Value { dtype, dims, data: Data::Float(values) }
    }

    pub(crate) fn ints(dtype: DType, dims: Vec<usize>, values: Vec<i64>) -> Self {
        Value { dtype, dims, data: Data::Int(values) }
    }

    /// Zeros of this shape.
    pub(crate) fn zeros(dtype: DType, dims: Vec<usize>) -> Result<Self, String> {
        let n = count(&dims).ok_or_else(|| format!("a tensor of shape {dims:?} is too large"))?;
        Ok(if dtype.is_float() {
            Value::floats(dtype, dims, vec![0.0; n])
        } else {
            Value::ints(dtype, dims, vec![0; n])
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.dims.iter().product()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.len() * self.dtype.bits() / 8
    }

    pub(crate) fn as_floats(&self, what: &str) -> Result<&[f32], String> {
        match &self.data {
            Data::Float(v) => Ok(v),
            Data::Int(_) => Err(format!("{what} has type {:?}, expected floats", self.dtype)),
        }
    }

    pub(crate) fn as_ints(&self, what: &str) -> Result<&[i64], String> {
        match &self.data {
            Data::Int(v) => Ok(v),
            Data::Float(_) => Err(format!("{what} has type {:?}, expected integers", self.dtype)),
        }
    }

    /// From little-endian bytes, as many as the shape has.
    pub(crate) fn decode(dtype: DType, dims: Vec<usize>, bytes: &[u8]) -> Result<Self, String> {
        let n = count(&dims).ok_or_else(|| format!("a tensor of shape {dims:?} is too large"))?;
        if bytes.len() != n * dtype.bits() / 8 {
            return Err(format!("{} bytes are no {dims:?} of {dtype:?}", bytes.len()));
        }
        let data = match dtype {
            DType::F32 => Data::Float(numbers!(bytes, f32, |x| x)),
            DType::F16 => Data::Float(numbers!(bytes, u16, |x| f16::from_bits(x).to_f32())),
            DType::BF16 => Data::Float(numbers!(bytes, u16, |x| bf16::from_bits(x).to_f32())),
            DType::U8 => Data::Int(bytes.iter().map(|&b| i64::from(b)).collect()),
            DType::Bool => Data::Int(bytes.iter().map(|&b| i64::from(b != 0)).collect()),
            DType::I8 => Data::Int(numbers!(bytes, i8, i64::from)),
            DType::I16 => Data::Int(numbers!(bytes, i16, i64::from)),
            DType::U16 => Data::Int(numbers!(bytes, u16, i64::from)),
            DType::I32 => Data::Int(numbers!(bytes, i32, i64::from)),
            DType::I64 => Data::Int(numbers!(bytes, i64, |x| x)),
            other => return Err(format!("elements of type {other:?} are not simulated in models")),
        };
        Ok(Value { dtype, dims, data })
    }

    /// As little-endian bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match (&self.data, self.dtype) {
            (Data::Float(v), DType::F16) => bytes!(v, f16::from_f32),
            (Data::Float(v), DType::BF16) => bytes!(v, bf16::from_f32),
            (Data::Float(v), _) => bytes!(v, |x: f32| x),
            (Data::Int(v), DType::I8 | DType::U8 | DType::Bool) => v.iter().map(|&x| x as u8).collect(),
            (Data::Int(v), DType::I16 | DType::U16) => bytes!(v, |x| x as i16),
            (Data::Int(v), DType::I32) => bytes!(v, |x| x as i32),
            (Data::Int(v), _) => bytes!(v, |x: i64| x),
        }
    }

    /// Of a tensor that a model file holds.
    pub(crate) fn of(t: &proto::Tensor) -> Result<Self, String> {
        if t.data_location != 0 {
            return Err(format!("the data of {:?} lies in another file, which is not simulated", t.name));
        }
        let dims = t.dims.iter().map(|&d| usize::try_from(d)).collect::<Result<Vec<_>, _>>();
        let dims = dims.map_err(|_| format!("{:?} has the shape {:?}", t.name, t.dims))?;
        let dtype = from_onnx(t.data_type)?;
        if !t.raw_data.is_empty() || dims.contains(&0) {
            return Value::decode(dtype, dims, &t.raw_data).map_err(|e| format!("{:?}: {e}", t.name));
        }
        let data = match dtype {
            DType::F32 => Data::Float(t.float_data.clone()),
            DType::F16 => Data::Float(t.int32_data.iter().map(|&x| f16::from_bits(x as u16).to_f32()).collect()),
            DType::BF16 => Data::Float(t.int32_data.iter().map(|&x| bf16::from_bits(x as u16).to_f32()).collect()),
            DType::I64 => Data::Int(t.int64_data.clone()),
            _ => Data::Int(t.int32_data.iter().map(|&x| i64::from(x)).collect()),
        };
        let value = Value { dtype, dims, data };
        let found = match &value.data {
            Data::Float(v) => v.len(),
            Data::Int(v) => v.len(),
        };
        if Some(found) != count(&value.dims) {
            return Err(format!("{:?} has {found} elements for the shape {:?}", t.name, value.dims));
        }
        Ok(value)
    }

    /// The places of its elements, to be seen with other dimensions.
    pub(crate) fn view(&self) -> Tensor {
        let (dims, n) = (self.dims.clone(), self.len());
        let strides = contiguous_strides(&dims);
        Tensor { dtype: self.dtype, dims, strides, offset: 0, format: 2, storage: n, slot: 0 }
    }

    /// The elements that a view of it names.
    pub(crate) fn gather(&self, view: &Tensor) -> Value {
        let data = match &self.data {
            Data::Float(v) => Data::Float(view.places().map(|p| v[p]).collect()),
            Data::Int(v) => Data::Int(view.places().map(|p| v[p]).collect()),
        };
        Value { dtype: self.dtype, dims: view.dims.clone(), data }
    }

    /// With other dimensions of as many elements.
    pub(crate) fn reshaped(&self, dims: Vec<usize>) -> Result<Value, String> {
        if count(&dims) != Some(self.len()) {
            return Err(format!("{:?} cannot be seen as {dims:?}", self.dims));
        }
        Ok(Value { dims, ..self.clone() })
    }

    /// Broadcast to these dimensions.
    pub(crate) fn broadcast(&self, dims: &[usize]) -> Result<Value, String> {
        let view = self.view().broadcast(dims);
        view.map(|v| self.gather(&v)).ok_or_else(|| format!("{:?} does not broadcast to {dims:?}", self.dims))
    }

    /// Floats rounded to `f16`, as models computed in half precision have them.
    pub(crate) fn halved(mut self) -> Value {
        if let Data::Float(v) = &mut self.data {
            v.iter_mut().for_each(|x| *x = f16::from_f32(*x).to_f32());
        }
        self
    }
}
