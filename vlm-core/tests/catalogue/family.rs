//! The small models of the reference data, from a folder to numbers.

use std::path::Path;
use vlm_core::autograd::no_grad;
use vlm_core::models::auto::AutoModel;
use vlm_core::models::processor::{DualProcessor, Encoded, PaddingSide, Pictures, Processor, Row};
use vlm_core::models::{load_auto, read_config};
use vlm_core::vision::Picture;
use vlm_core::{DType, Device, Error, ErrorKind, Result, Tensor};

/// The families that write text.
pub(crate) const WRITERS: [&str; 11] = [
    "gemma3",
    "idefics3",
    "internvl",
    "llava",
    "llava_next",
    "llava_onevision",
    "paligemma",
    "qwen2_5_vl",
    "qwen2_vl",
    "qwen3_vl",
    "smolvlm",
];
/// The families that compare pictures and texts.
pub(crate) const ENCODERS: [&str; 3] = ["clip", "siglip", "siglip2"];

/// A picture of no particular content.
pub(crate) fn picture(width: usize, height: usize) -> Picture {
    let rgb: Vec<u8> = (0..3 * width * height).map(|i| (i * 37 % 251) as u8).collect();
    Picture::from_rgb(width, height, rgb).unwrap()
}

fn is_encoder(dir: &Path) -> Result<bool> {
    Ok(ENCODERS.iter().any(|f| read_config(dir).is_ok_and(|c| c["model_type"] == *f)))
}

/// A question about the picture, as tokens.
pub(crate) fn encode(dir: &Path, picture: &Picture) -> Result<Encoded> {
    let processor = Processor::load(dir)?;
    let content = serde_json::json!([{"type": "image"}, {"type": "text", "text": "What is it?"}]);
    let text = processor.render(&serde_json::json!([{"role": "user", "content": content}]), true)?;
    let row = Row { text, pictures: vec![picture.clone()], ..Row::default() };
    processor.encode(&[row], PaddingSide::Right)
}

/// The picture as the folder's processor makes numbers of it. All must be finite.
pub(crate) fn process(dir: &Path, picture: &Picture) -> Result<Pictures> {
    let found = if is_encoder(dir)? {
        let processor = DualProcessor::load(dir)?;
        processor.texts(&["a text"])?;
        processor.pictures(std::slice::from_ref(picture))?
    } else {
        encode(dir, picture)?.pictures.unwrap_or_default()
    };
    if found.data.is_empty() || found.data.len() != found.shape.iter().product::<usize>() {
        let message = format!("{} numbers for {:?}", found.data.len(), found.shape);
        return Err(Error::new(ErrorKind::Shape, "test", message));
    }
    match found.data.iter().all(|v| v.is_finite()) {
        true => Ok(found),
        false => Err(Error::new(ErrorKind::NonFinite, "test", "pixel values are not finite")),
    }
}

/// Loads the model and asks it about the picture. What comes out must be finite.
pub(crate) fn forward(dir: &Path, picture: &Picture) -> Result<String> {
    let device = Device::reference();
    let out = no_grad(|| match load_auto(dir, None, &device)? {
        AutoModel::VisionLanguage(model) => {
            let batch = encode(dir, picture)?.to_batch(model.dtype(), &device)?;
            model.logits(&model.hidden_states(&batch, None)?)
        }
        AutoModel::DualEncoder(model) => {
            let texts = DualProcessor::load(dir)?.texts(&["a text"])?;
            let images = process(dir, picture)?.to_images(DType::F32, &device)?;
            let texts = model.text_embeds(&texts.input_ids, Some(&texts.attention_mask))?;
            model.logits_per_image(&model.image_embeds(&images)?, &texts)
        }
        _ => Err(Error::new(ErrorKind::Unsupported, "test", "a kind of model that this test does not know")),
    })?;
    finite(&out)
}

fn finite(out: &Tensor) -> Result<String> {
    match out.all_finite()? {
        true => Ok(format!("finite {}", out.shape())),
        false => Err(Error::new(ErrorKind::NonFinite, "test", format!("the result {} is not finite", out.shape()))),
    }
}
