//! Gradients against finite differences.

use super::no_grad;
use crate::{DType, Error, ErrorKind, Result, Tensor};

/// How [`gradcheck`] steps and what it accepts.
#[derive(Clone, Copy, Debug)]
pub struct GradcheckOptions {
    /// Step of the central difference.
    pub eps: f64,
    /// Accepted absolute error.
    pub atol: f64,
    /// Accepted error relative to the finite difference.
    pub rtol: f64,
}

impl Default for GradcheckOptions {
    /// PyTorch's: `eps` 1e-6, `atol` 1e-5, `rtol` 1e-3.
    fn default() -> Self {
        GradcheckOptions { eps: 1e-6, atol: 1e-5, rtol: 1e-3 }
    }
}

/// Compares the gradients of `f` at `inputs` with central finite differences, element by element.
///
/// The result of `f` may have any shape; it is weighted with fixed numbers and summed. Inputs must be `f64` for the
/// differences to mean anything; integer inputs are passed through.
///
/// ```
/// use vlm_core::{Device, Tensor, autograd};
/// let x = Tensor::from_slice(&[0.3f64, -1.2], [2], &Device::reference())?;
/// autograd::gradcheck(|t| t[0].tanh(), &[x], &Default::default())?;
/// # Ok::<(), vlm_core::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::MissingGradient`] if an input got none; [`ErrorKind::NonFinite`] naming input, element and both values
/// where they differ; [`ErrorKind::DType`] for float inputs that are not `f64`; those of `f`.
pub fn gradcheck(f: impl Fn(&[Tensor]) -> Result<Tensor>, inputs: &[Tensor], options: &GradcheckOptions) -> Result<()> {
    let leaves: Vec<Tensor> = inputs
        .iter()
        .map(|t| match t.dtype() {
            DType::F64 => t.detach().requires_grad(),
            d if d.is_float() => {
                Err(Error::new(ErrorKind::DType, "gradcheck", format!("expected f64 inputs, found {d}")))
            }
            _ => Ok(t.clone()),
        })
        .collect::<Result<_>>()?;
    let out = f(&leaves)?;
    // Fixed, uneven weights: a plain sum would hide errors that cancel, as in softmax.
    let weights: Vec<f64> = (0..out.count()).map(|i| 0.5 + ((i * 7919 + 13) % 101) as f64 / 101.0).collect();
    let weights = Tensor::from_slice(&weights, out.shape(), out.device())?.to_dtype(out.dtype())?;
    let grads = out.backward_with(&weights)?;
    let value = |inputs: &[Tensor]| -> Result<f64> { no_grad(|| (&f(inputs)? * &weights)?.sum_all()?.item::<f64>()) };

    for (i, leaf) in leaves.iter().enumerate().filter(|(_, t)| t.dtype() == DType::F64) {
        let got = grads.require(leaf)?.to_vec::<f64>()?;
        let at = leaf.detach().to_vec::<f64>()?;
        for (e, &g) in got.iter().enumerate() {
            let moved = |by: f64| -> Result<f64> {
                let mut values = at.clone();
                values[e] += by;
                let mut args = inputs.to_vec();
                args[i] = Tensor::from_slice(&values, leaf.shape(), leaf.device())?;
                value(&args)
            };
            let want = (moved(options.eps)? - moved(-options.eps)?) / (2.0 * options.eps);
            let wrong = (g - want).abs() > options.atol + options.rtol * want.abs();
            if wrong || g.is_nan() {
                let message = format!("input {i}, element {e}: gradient {g:.9}, finite difference {want:.9}");
                return Err(Error::new(ErrorKind::NonFinite, "gradcheck", message).with("at", at[e]));
            }
        }
    }
    Ok(())
}
