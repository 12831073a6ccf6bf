//! What the program says and writes.

use crate::labels::truth;
use anyhow::Result;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use vlm_core::weights::save_tensors;
use vlm_core::{DType, Tensor};

/// Writes the embeddings, with the names of their rows as JSON in the file's metadata.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn save(
    out: &Path,
    pictures: &[PathBuf],
    of_pictures: Option<&Tensor>,
    texts: &[String],
    of_texts: Option<&Tensor>,
) -> Result<()> {
    let kept =
        |name: &str, t: Option<&Tensor>| t.map(|t| Ok((name.to_owned(), t.detach().to_dtype(DType::F32)?))).transpose();
    let tensors: vlm_core::Result<Vec<Option<(String, Tensor)>>> =
        [kept("image_embeds", of_pictures), kept("text_embeds", of_texts)].into_iter().collect();
    let names: Vec<String> = pictures.iter().map(|p| p.display().to_string()).collect();
    let about = BTreeMap::from([
        ("images".to_owned(), json!(names).to_string()),
        ("texts".to_owned(), json!(texts).to_string()),
    ]);
    let tensors: Vec<(String, Tensor)> = tensors?.into_iter().flatten().collect();
    Ok(save_tensors(out, &tensors, &about)?)
}

/// The best texts of each picture.
pub(crate) fn matches(pictures: &[PathBuf], names: &[String], rows: &[Vec<f32>], top: usize, as_json: bool) {
    for (picture, row) in pictures.iter().zip(rows) {
        let best: Vec<(&String, f32)> = order(row).into_iter().take(top).map(|i| (&names[i], row[i])).collect();
        if as_json {
            let best: Vec<_> = best.iter().map(|(name, p)| json!({"text": name, "probability": p})).collect();
            println!("{}", json!({"image": picture.display().to_string(), "best": best}));
        } else {
            let best: Vec<String> = best.iter().map(|(name, p)| format!("{name} {p:.4}")).collect();
            println!("{}: {}", picture.display(), best.join(", "));
        }
    }
}

/// The share of pictures whose best label is the name of their folder; of those in a folder that is no label, nothing can
/// be said.
pub(crate) fn accuracy(root: &Path, pictures: &[PathBuf], labels: &[String], rows: &[Vec<f32>], as_json: bool) {
    let told = pictures.iter().zip(rows).filter_map(|(picture, row)| {
        let place = labels.iter().position(|label| Some(label) == truth(root, picture).as_ref())?;
        Some(order(row).first() == Some(&place))
    });
    let told: Vec<bool> = told.collect();
    if told.is_empty() {
        return;
    }
    let share = told.iter().filter(|right| **right).count() as f64 / told.len() as f64;
    if as_json {
        println!("{}", json!({"accuracy": share, "pictures": told.len()}));
    } else {
        println!("accuracy: {share:.4} of {} pictures", told.len());
    }
}

/// How many embeddings there are, where nothing is compared.
pub(crate) fn sizes(pictures: Option<&Tensor>, texts: Option<&Tensor>, as_json: bool) {
    let found = [("image_embeds", pictures), ("text_embeds", texts)];
    for (name, tensor) in found.into_iter().filter_map(|(name, t)| Some((name, t?))) {
        if as_json {
            println!("{}", json!({"name": name, "shape": tensor.shape().to_vec()}));
        } else {
            println!("{name}: {}", tensor.shape());
        }
    }
}

/// Places from the most to the least probable, the first of equals first.
fn order(row: &[f32]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..row.len()).collect();
    places.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
    places
}
