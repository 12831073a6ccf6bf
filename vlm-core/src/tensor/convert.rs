//! Out of tensors and between types and devices.

use super::Tensor;
use crate::autograd::{constant, record};
use crate::{DType, Device, Element, Error, ErrorKind, IntoShape, Result};
use ndarray::{ArrayD, ArrayViewD, IxDyn};

impl Tensor {
    /// The elements as bytes, in row-major order and native byte order.
    ///
    /// # Errors
    /// Whatever went wrong in work the device had not finished.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let kernels = self.device().kernels();
        let mut out = vec![0; self.count() * self.dtype().size()];
        match self.layout().contiguous_range() {
            Some(range) => kernels.download(self.storage(), range.start, &mut out)?,
            None => kernels.download(&kernels.copy(self.view())?, 0, &mut out)?,
        }
        Ok(out)
    }

    /// The elements, in row-major order.
    ///
    /// # Errors
    /// [`ErrorKind::DType`] if `T` is not the element type: nothing is converted here.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        if T::DTYPE != self.dtype() {
            let message = format!("the tensor holds {}, not {}", self.dtype(), T::DTYPE);
            return Err(Error::new(ErrorKind::DType, "to_vec", message).hint("convert it with to_dtype first"));
        }
        if let (Some(bytes), Some(r)) =
            (self.device().kernels().host_bytes(self.storage()), self.layout().contiguous_range())
        {
            let size = self.dtype().size();
            return Ok(T::from_bytes(&bytes[r.start * size..r.end * size]));
        }
        Ok(T::from_bytes(&self.to_bytes()?))
    }

    /// The one element of this tensor, converted to `T`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if there is not exactly one.
    pub fn item<T: Element>(&self) -> Result<T> {
        if self.count() != 1 {
            let message = format!("expected one element, found shape {}", self.shape());
            return Err(Error::new(ErrorKind::Shape, "item", message));
        }
        let mut bytes = [0u8; 8];
        let bytes = &mut bytes[..self.dtype().size()];
        self.device().kernels().download(self.storage(), self.layout().offset(), bytes)?;
        Ok(match self.dtype() {
            DType::F64 => T::from_f64(f64::from_bytes(bytes)[0]),
            DType::F32 => T::from_f64(f32::from_bytes(bytes)[0].into()),
            DType::F16 => T::from_f64(half::f16::from_bytes(bytes)[0].into()),
            DType::BF16 => T::from_f64(half::bf16::from_bytes(bytes)[0].into()),
            DType::I64 => T::from_i64(i64::from_bytes(bytes)[0]),
            DType::I32 => T::from_i64(i32::from_bytes(bytes)[0].into()),
            DType::U32 => T::from_i64(u32::from_bytes(bytes)[0].into()),
            DType::U8 | DType::Bool => T::from_i64(bytes[0].into()),
        })
    }

    /// Another element type: floats round to nearest even; floats to integers truncate and saturate; integers wrap;
    /// anything to `bool` is `x != 0`.
    ///
    /// # Gradient
    /// Between floats, cast back. A float cast to an integer ends the flow of gradients, as in PyTorch.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the device has no such conversion.
    pub fn to_dtype(&self, dtype: DType) -> Result<Tensor> {
        if dtype == self.dtype() {
            return Ok(self.clone());
        }
        let storage = self.device().kernels().cast(self.view(), dtype)?;
        let out = Tensor::from_storage(storage, *self.shape(), self.device());
        if !dtype.is_float() || !self.dtype().is_float() {
            return Ok(constant(out));
        }
        let from = self.dtype();
        Ok(record(out, "to_dtype", &[self], || move |grad, sink| sink.with(0, || grad.to_dtype(from))))
    }

    /// The same elements on another device; itself if it is there already. To the same device seen through layers nothing
    /// is copied: operations from then on go through them.
    ///
    /// # Gradient
    /// Moved back.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] on that device.
    pub fn to_device(&self, device: &Device) -> Result<Tensor> {
        if self.device().shares_memory(device) {
            return Ok(Tensor { device: device.clone(), ..self.clone() });
        }
        let storage = device.kernels().upload(self.dtype(), &self.to_bytes()?)?;
        let out = Tensor::from_storage(storage, *self.shape(), device);
        let from = self.device().clone();
        Ok(record(out, "to_device", &[self], || move |grad, sink| sink.with(0, || grad.to_device(&from))))
    }

    /// A tensor from an `ndarray` of any layout.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] beyond [`MAX_RANK`](crate::shape::MAX_RANK) dimensions.
    pub fn from_ndarray<T: Element>(array: ArrayViewD<'_, T>, device: &Device) -> Result<Self> {
        let shape = array.shape().into_shape("from_ndarray")?;
        match array.as_slice() {
            Some(data) => Self::from_slice(data, shape, device),
            None => Self::from_slice(&array.iter().copied().collect::<Vec<T>>(), shape, device),
        }
    }

    /// The elements as an `ndarray`.
    ///
    /// # Errors
    /// As [`Tensor::to_vec`].
    pub fn to_ndarray<T: Element>(&self) -> Result<ArrayD<T>> {
        let data = self.to_vec::<T>()?;
        ArrayD::from_shape_vec(IxDyn(self.shape()), data)
            .map_err(|e| Error::new(ErrorKind::Shape, "to_ndarray", e.to_string()).with_source(e))
    }

    /// Whether all elements are finite. Always true for integers.
    ///
    /// # Errors
    /// Those of the device.
    pub fn all_finite(&self) -> Result<bool> {
        if !self.dtype().is_float() || self.count() == 0 {
            return Ok(true);
        }
        // x - x is NaN exactly where x is not finite, and a sum keeps the NaN.
        let x = self.detach();
        Ok(x.sub(&x)?.to_dtype(DType::F32)?.sum_all()?.item::<f32>()? == 0.0)
    }
}

/// A tensor's bytes as the safetensors writer takes them.
#[derive(Debug)]
pub struct SafetensorsView {
    dtype: safetensors::Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Tensor {
    /// The tensor as the `safetensors` crate writes it.
    ///
    /// # Errors
    /// As [`Tensor::to_bytes`].
    pub fn to_safetensors(&self) -> Result<SafetensorsView> {
        let dtype = match self.dtype() {
            DType::F64 => safetensors::Dtype::F64,
            DType::F32 => safetensors::Dtype::F32,
            DType::F16 => safetensors::Dtype::F16,
            DType::BF16 => safetensors::Dtype::BF16,
            DType::I64 => safetensors::Dtype::I64,
            DType::I32 => safetensors::Dtype::I32,
            DType::U32 => safetensors::Dtype::U32,
            DType::U8 => safetensors::Dtype::U8,
            DType::Bool => safetensors::Dtype::BOOL,
        };
        Ok(SafetensorsView { dtype, shape: self.shape().to_vec(), bytes: self.to_bytes()? })
    }

    /// A tensor from one of a `safetensors` file.
    ///
    /// # Errors
    /// [`ErrorKind::DType`] for an element type that tensors do not have.
    pub fn from_safetensors(view: &safetensors::tensor::TensorView<'_>, device: &Device) -> Result<Self> {
        let dtype = match view.dtype() {
            safetensors::Dtype::F64 => DType::F64,
            safetensors::Dtype::F32 => DType::F32,
            safetensors::Dtype::F16 => DType::F16,
            safetensors::Dtype::BF16 => DType::BF16,
            safetensors::Dtype::I64 => DType::I64,
            safetensors::Dtype::I32 => DType::I32,
            safetensors::Dtype::U32 => DType::U32,
            safetensors::Dtype::U8 => DType::U8,
            safetensors::Dtype::BOOL => DType::Bool,
            other => {
                let message = format!("element type {other:?} is not one of {:?}", DType::ALL.map(DType::name));
                return Err(Error::new(ErrorKind::DType, "from_safetensors", message));
            }
        };
        Self::from_bytes(view.data(), dtype, view.shape(), device)
    }
}

impl safetensors::View for SafetensorsView {
    fn dtype(&self) -> safetensors::Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        (&self.bytes).into()
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
