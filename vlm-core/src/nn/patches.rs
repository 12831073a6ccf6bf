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

    /// `[n, channels, height, width] -> [n, patches, d]`, patches row by row. Rows and columns at the end that fill no patch
    /// are left out, as by the convolution.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for another number of channels, or pictures smaller than a patch.
    pub fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        self.run(pixels).map_err(|e| e.at(&self.path))
    }

    fn run(&self, pixels: &Tensor) -> Result<Tensor> {
        let ([n, c, h, w], [d, channels, p, _]) = (pixels.dims()?, self.weight.tensor()?.dims()?);
        let (down, across) = (h / p, w / p);
        if c != channels || down == 0 || across == 0 {
            let message = format!("pictures {} do not divide into {channels} x {p} x {p} patches", pixels.shape());
            return Err(Error::new(ErrorKind::Shape, "patch_embedding", message));
        }
        let whole = match (down * p, across * p) == (h, w) {
            true => pixels.clone(),
            false => pixels.narrow(2, 0, down * p)?.narrow(3, 0, across * p)?,
        };
        let cut = whole.reshape([n, c, down, p, across, p])?.permute(&[0, 2, 4, 1, 3, 5])?;
        let rows = cut.reshape([n, down * across, c * p * p])?;
        let bias = self.bias.as_ref().map(|b| b.tensor()).transpose()?;
        rows.linear(&self.weight.tensor()?.reshape([d, c * p * p])?, bias.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::RandomKey;
    use crate::nn::Initializer;
    use crate::{DType, Device};

    #[test]
    fn what_fills_no_patch_is_left_out() {
        let device = Device::reference();
        let patches =
            PatchEmbedding::new(&Builder::new(Initializer { seed: 3 }, DType::F32, &device), 3, 4, 5, true, 0.1)
                .unwrap();
        let of = |x: &Tensor| patches.forward(x).unwrap().to_vec::<f32>().unwrap();
        let pixels = Tensor::randn([1, 3, 11, 14], RandomKey { seed: 1, stream: 2 }, DType::F32, &device).unwrap();
        let whole = pixels.narrow(2, 0, 8).unwrap().narrow(3, 0, 12).unwrap();
        assert_eq!(of(&pixels), of(&whole));
        assert_eq!(of(&pixels).len(), 2 * 3 * 5);
        let small = pixels.narrow(2, 0, 3).unwrap();
        assert!(patches.forward(&small).unwrap_err().to_string().contains("[1, 3, 3, 14]"));
    }
}
