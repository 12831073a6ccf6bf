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

    /// `[n, channels, height, width] -> [n, patches, d]`, patches row by row.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] unless height and width are multiples of the patch size.
    pub fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        self.run(pixels).map_err(|e| e.at(&self.path))
    }

    fn run(&self, pixels: &Tensor) -> Result<Tensor> {
        let ([n, c, h, w], [d, channels, p, _]) = (pixels.dims()?, self.weight.tensor()?.dims()?);
        if c != channels || h == 0 || w == 0 || !h.is_multiple_of(p) || !w.is_multiple_of(p) {
            let message = format!("pictures {} do not divide into {channels} x {p} x {p} patches", pixels.shape());
            return Err(Error::new(ErrorKind::Shape, "patch_embedding", message));
        }
        let cut = pixels.reshape([n, c, h / p, p, w / p, p])?.permute(&[0, 2, 4, 1, 3, 5])?;
        let rows = cut.reshape([n, h / p * (w / p), c * p * p])?;
        let bias = self.bias.as_ref().map(|b| b.tensor()).transpose()?;
        rows.linear(&self.weight.tensor()?.reshape([d, c * p * p])?, bias.as_ref())
    }
}
