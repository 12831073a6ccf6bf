//! Decoding and resizing alone.

use crate::folder::Folder;
use crate::output::Output;
use anyhow::{Context, Result, bail};
use vlm_core::vision::{Picture, Resample, resize};

pub(crate) fn run(folder: &Folder, out: &mut Output) -> Result<()> {
    for (name, file) in folder.told["images"].as_object().context("expected.json has no images")? {
        let picture = folder.picture(file.as_str().context("images: a file name")?)?;
        put(out, &format!("decoded/{name}"), &picture)?;
        let begins = format!("resize_pil/{name}/");
        for key in folder.wanted().into_keys().filter(|key| key.starts_with(&begins)) {
            let (filter, (h, w)) = how(&key[begins.len()..])?;
            put(out, &key, &resize(&picture, w, h, filter)?)?;
        }
    }
    Ok(())
}

/// `bicubic_28x28`: the filter, rows and columns.
fn how(text: &str) -> Result<(Resample, (usize, usize))> {
    let (filter, size) = text.split_once('_').context("FILTER_HxW")?;
    let (h, w) = size.split_once('x').context("FILTER_HxW")?;
    let filter = match filter {
        "nearest" => Resample::Nearest,
        "box" => Resample::Box,
        "bilinear" => Resample::Bilinear,
        "hamming" => Resample::Hamming,
        "bicubic" => Resample::Bicubic,
        "lanczos" => Resample::Lanczos,
        other => bail!("there is no filter {other:?}"),
    };
    Ok((filter, (h.parse()?, w.parse()?)))
}

fn put(out: &mut Output, name: &str, picture: &Picture) -> Result<()> {
    out.put_u8(name, picture.rgb(), &[picture.height(), picture.width(), 3])
}
