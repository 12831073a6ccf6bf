//! What the parity tests share.
#![allow(dead_code)]
#![allow(clippy::print_stdout)] // A test that cannot run says so.

use std::collections::BTreeMap;
use std::path::PathBuf;
use vlm_core::{DType, Device, Tensor};

/// The folder of one family's reference data, or `None` (said aloud) where it is not at hand.
pub(crate) fn parity_folder(family: &str) -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/parity/dev").join(family);
    if root.is_dir() {
        return Some(root);
    }
    println!("SKIPPED: there is no reference data for {family} beside the workspace");
    None
}

/// All tensors of a file.
pub(crate) fn tensors(path: &std::path::Path, device: &Device) -> BTreeMap<String, Tensor> {
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    file.tensors().into_iter().map(|(name, view)| (name, Tensor::from_safetensors(&view, device).unwrap())).collect()
}

/// Fails unless every element of `got` is within `tolerance` of the scale of `want`, plus `floor`.
pub(crate) fn assert_close(name: &str, got: &Tensor, want: &Tensor, tolerance: f64, floor: f64) {
    assert_eq!(got.shape(), want.shape(), "{name}");
    let values = |t: &Tensor| t.detach().to_dtype(DType::F64).unwrap().to_vec::<f64>().unwrap();
    let (got, want) = (values(got), values(want));
    let scale = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let worst = got
        .iter()
        .zip(&want)
        .map(|(g, w)| (g - w).abs())
        .fold(0.0f64, |m, d| if d.is_nan() { f64::INFINITY } else { m.max(d) });
    assert!(worst <= tolerance * scale + floor, "{name}: off by {worst:e} at scale {scale:e}");
}

/// The rows of an integer tensor of rank 2.
pub(crate) fn rows(t: &Tensor) -> Vec<Vec<i64>> {
    let [_, s] = t.dims().unwrap();
    t.to_dtype(DType::I64).unwrap().to_vec::<i64>().unwrap().chunks(s).map(<[i64]>::to_vec).collect()
}
