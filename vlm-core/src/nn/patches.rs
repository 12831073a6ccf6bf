//! Patch embedding as one product of matrices: a convolution whose stride is its kernel, without a convolution.

use super::{Builder, Init, ModuleRef, Param};
use crate::{Error, ErrorKind, Result, Tensor};

/// Cuts pictures into square patches and maps each to a vector. The weight has the shape of the convolution that
/// Hugging Face stores, `[d, channels, patch, patch]`.
#[derive(Debug)]
pub struct PatchEmbedding {
    path: String,
    weight: Param,
    bias: Option<Param>,
}

impl PatchEmbedding {
    /// Builds `weight` and, if asked for, `bias [d]`.
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(b: &Builder, channels: usize, patch: usize, d: usize, bias: bool, std: f64) -> Result<Self> {
        let weight = b.parameter("weight", [d, channels, patch, patch], Init::Normal { std })?;
        let bias = bias.then(|| b.parameter("bias", [d], Init::Constant(0.0))).transpose()?;
        b.register(ModuleRef::Other("patch_embedding"));
        Ok(PatchEmbedding { path: b.path().to_owned(), weight, bias })
    }

    /// `[n, channels, height, width] -> [n, patches, d]`, patches row by row. What is left below and on the right of whole
    /// patches is not seen (SigLIP's 384 pixels in patches of 14).
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] unless there is at least one patch.
    pub fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        self.run(pixels).map_err(|e| e.at(&self.path))
    }

    fn run(&self, pixels: &Tensor) -> Result<Tensor> {
        let ([n, c, h, w], [d, channels, p, _]) = (pixels.dims()?, self.weight.tensor()?.dims()?);
        if c != channels || h < p || w < p {
            let message = format!("pictures {} have no patches of {channels} x {p} x {p}", pixels.shape());
            return Err(Error::new(ErrorKind::Shape, "patch_embedding", message));
        }
        let whole = pixels.narrow(2, 0, h / p * p)?.narrow(3, 0, w / p * p)?;
        let cut = whole.reshape([n, c, h / p, p, w / p, p])?.permute(&[0, 2, 4, 1, 3, 5])?;
        let rows = cut.reshape([n, h / p * (w / p), c * p * p])?;
        let bias = self.bias.as_ref().map(|b| b.tensor()).transpose()?;
        rows.linear(&self.weight.tensor()?.reshape([d, c * p * p])?, bias.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Initializer;
    use crate::{DType, Device};

    #[test]
    fn what_is_left_of_whole_patches_is_not_seen() {
        let device = Device::reference();
        let b = Builder::new(Initializer { seed: 1 }, DType::F32, &device);
        let patches = PatchEmbedding::new(&b, 1, 2, 3, true, 0.5).unwrap();
        let pixels: Vec<f32> = (0..20).map(|v| v as f32).collect();
        let all = Tensor::from_slice(&pixels, [1, 1, 4, 5], &device).unwrap();
        let seen = patches.forward(&all).unwrap();
        let whole = patches.forward(&all.narrow(3, 0, 4).unwrap()).unwrap();
        assert_eq!(seen.shape().as_ref(), [1, 4, 3]);
        assert_eq!(seen.to_vec::<f32>().unwrap(), whole.to_vec::<f32>().unwrap());
        assert!(patches.forward(&all.narrow(2, 0, 1).unwrap()).is_err());
    }
}
