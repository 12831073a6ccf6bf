//! Making tensors.

use super::Tensor;
use crate::backend::{Distribution, HostBytes, RandomKey};
use crate::{DType, Device, Element, Error, ErrorKind, IntoShape, Result, Scalar};

impl Tensor {
    /// A tensor with these elements, in row-major order.
    ///
    /// ```
    /// # use vlm_core::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1i64, 2, 3, 4, 5, 6], [2, 3], &Device::reference())?;
    /// assert_eq!(x.to_vec::<i64>()?, [1, 2, 3, 4, 5, 6]);
    /// # Ok::<(), vlm_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the number of elements is not the shape's.
    pub fn from_slice<T: Element>(data: &[T], shape: impl IntoShape, device: &Device) -> Result<Self> {
        Self::from_bytes(T::as_bytes(data), T::DTYPE, shape, device)
    }

    /// A tensor of rank 0.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`].
    pub fn scalar<T: Element>(value: T, device: &Device) -> Result<Self> {
        Self::from_slice(&[value], (), device)
    }

    /// A tensor whose elements are these bytes, in native byte order.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the number of bytes is not the shape's.
    pub fn from_bytes(bytes: &[u8], dtype: DType, shape: impl IntoShape, device: &Device) -> Result<Self> {
        let shape = shape.into_shape("from_bytes")?;
        check_bytes(bytes.len(), dtype, shape.count(), &shape)?;
        Ok(Tensor::from_storage(device.kernels().upload(dtype, bytes)?, shape, device))
    }

    /// As [`Tensor::from_bytes`], from bytes that stay alive, such as a mapped file: a device in host memory refers to
    /// them instead of copying.
    ///
    /// # Errors
    /// As there.
    pub fn from_host_bytes(bytes: HostBytes, dtype: DType, shape: impl IntoShape, device: &Device) -> Result<Self> {
        let shape = shape.into_shape("from_host_bytes")?;
        check_bytes(bytes.as_slice().len(), dtype, shape.count(), &shape)?;
        Ok(Tensor::from_storage(device.kernels().adopt(dtype, bytes)?, shape, device))
    }

    /// A tensor filled with `value`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for an impossible shape, [`ErrorKind::OutOfMemory`].
    pub fn full(shape: impl IntoShape, value: impl Into<Scalar>, dtype: DType, device: &Device) -> Result<Self> {
        let shape = shape.into_shape("full")?;
        Ok(Tensor::from_storage(device.kernels().fill(dtype, shape.count(), value.into())?, shape, device))
    }

    /// Zeros.
    ///
    /// # Errors
    /// As [`Tensor::full`].
    pub fn zeros(shape: impl IntoShape, dtype: DType, device: &Device) -> Result<Self> {
        Self::full(shape, 0, dtype, device)
    }

    /// Ones.
    ///
    /// # Errors
    /// As [`Tensor::full`].
    pub fn ones(shape: impl IntoShape, dtype: DType, device: &Device) -> Result<Self> {
        Self::full(shape, 1, dtype, device)
    }

    /// Zeros of the shape, element type and device of this tensor.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`].
    pub fn zeros_like(&self) -> Result<Self> {
        Self::zeros(self.shape(), self.dtype(), self.device())
    }

    /// Ones of the shape, element type and device of this tensor.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`].
    pub fn ones_like(&self) -> Result<Self> {
        Self::ones(self.shape(), self.dtype(), self.device())
    }

    /// `start, start + step, …` up to but not including `end`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if `step` is 0, not finite or leads away from `end`.
    pub fn arange(start: f64, end: f64, step: f64, dtype: DType, device: &Device) -> Result<Self> {
        let len = ((end - start) / step).ceil();
        if !(step != 0.0 && (0.0..9e15).contains(&len)) {
            let message = format!("no steps of {step} lead from {start} to {end}");
            return Err(Error::new(ErrorKind::Config, "arange", message));
        }
        let shape = (len as usize).into_shape("arange")?;
        Ok(Tensor::from_storage(device.kernels().arange(dtype, start, step, shape.count())?, shape, device))
    }

    /// Random numbers. The same `key` gives the same numbers on every device and thread count.
    ///
    /// # Errors
    /// [`ErrorKind::DType`] for element types that are not floats; [`ErrorKind::Config`] for parameters that are not
    /// finite or not a distribution.
    pub fn random(
        shape: impl IntoShape,
        from: Distribution,
        key: RandomKey,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let shape = shape.into_shape("random")?;
        let sound = match from {
            Distribution::Uniform { low, high } => low.is_finite() && high.is_finite() && low <= high,
            Distribution::Normal { mean, std } => mean.is_finite() && std.is_finite() && std >= 0.0,
            Distribution::Bernoulli { p } => (0.0..=1.0).contains(&p),
        };
        if !sound {
            return Err(Error::new(ErrorKind::Config, "random", format!("{from:?} is not a distribution")));
        }
        if !dtype.is_float() {
            return Err(Error::new(ErrorKind::DType, "random", format!("random numbers are floats, not {dtype}")));
        }
        Ok(Tensor::from_storage(device.kernels().random(dtype, shape.count(), from, key)?, shape, device))
    }

    /// Standard normal random numbers.
    ///
    /// # Errors
    /// As [`Tensor::random`].
    pub fn randn(shape: impl IntoShape, key: RandomKey, dtype: DType, device: &Device) -> Result<Self> {
        Self::random(shape, Distribution::Normal { mean: 0.0, std: 1.0 }, key, dtype, device)
    }
}

fn check_bytes(found: usize, dtype: DType, count: usize, shape: &crate::Shape) -> Result<()> {
    let expected = count * dtype.size();
    if found == expected {
        return Ok(());
    }
    let (n, size) = (found / dtype.size(), dtype.size());
    let message = format!("shape {shape} of {dtype} needs {count} elements, found {n} ({found} bytes of {size} each)");
    Err(Error::new(ErrorKind::Shape, "from_bytes", message))
}
