//! How embeddings of pictures and texts are compared.

use crate::tensor::IGNORE_INDEX;
use crate::{Error, ErrorKind, Result, Tensor};

/// Rows of length 1: `x [n, d]`. Half floats are rounded once, at the end.
pub(super) fn unit(x: &Tensor) -> Result<Tensor> {
    let wide = x.to_dtype(x.dtype().accumulator())?;
    (&wide / (&wide * &wide)?.sum([-1], true)?.sqrt()?)?.to_dtype(x.dtype())
}

/// Cosines `[pictures, texts]` by the exponent of `scale`, in `f32` for half floats: a bias near the largest of them leaves
/// few digits.
pub(super) fn scaled(image_embeds: &Tensor, text_embeds: &Tensor, scale: &Tensor) -> Result<Tensor> {
    let wide = |t: &Tensor| t.to_dtype(t.dtype().accumulator());
    wide(image_embeds)?.matmul(&wide(text_embeds)?.t()?)? * wide(scale)?.exp()?
}

fn pairs(op: &'static str, logits: &Tensor) -> Result<usize> {
    let [pictures, texts] = logits.dims()?;
    if pictures == texts {
        return Ok(texts);
    }
    let message = format!("{pictures} pictures and {texts} texts are no pairs");
    Err(Error::new(ErrorKind::Shape, op, message).hint("give one text for each picture"))
}

/// CLIP's loss of pairs (Radford et al. 2021): the mean of both cross-entropies, each picture among the texts and each text
/// among the pictures.
pub(super) fn contrastive(logits: &Tensor) -> Result<Tensor> {
    let n = pairs("contrastive loss", logits)?;
    let own: Vec<i64> = (0..n as i64).collect();
    let own = Tensor::from_slice(&own, n, logits.device())?;
    let of = |l: &Tensor| l.cross_entropy(&own, IGNORE_INDEX)?.mean_all();
    (of(logits)? + of(&logits.t()?)?)? / 2.0
}

/// SigLIP's loss of pairs (Zhai et al. 2023): each picture and text judged by themselves, summed over the texts, mean over the
/// pictures.
pub(super) fn sigmoid(logits: &Tensor) -> Result<Tensor> {
    let n = pairs("sigmoid loss", logits)?;
    let sign: Vec<f32> = (0..n * n).map(|i| if i / n == i % n { 1.0 } else { -1.0 }).collect();
    let z = (logits * Tensor::from_slice(&sign, [n, n], logits.device())?.to_dtype(logits.dtype())?)?;
    // ln sigmoid(z) without overflow: min(z, 0) - ln(1 + e^-|z|).
    let zero = Tensor::zeros([n, n], z.dtype(), z.device())?;
    let log = (z.minimum(&zero)? - z.abs()?.neg()?.exp()?.add_scalar(1.0)?.log()?)?;
    log.sum_all()?.neg()? / n as f64
}
