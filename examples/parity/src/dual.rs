//! Models that compare pictures and texts: embeddings, logits, losses, training.

use crate::folder::Folder;
use crate::output::Output;
use crate::saved::Saved;
use crate::training;
use anyhow::{Context, Result};
use serde_json::Value;
use vlm_core::Tensor;
use vlm_core::autograd::no_grad;
use vlm_core::lora::LoraAdapter;
use vlm_core::models::processor::{DualProcessor, Pictures, Texts};
use vlm_core::models::{DualEncoder, Images, load_dual_encoder};
use vlm_core::nn::{Param, probe};

/// A case's texts and pictures.
struct Inputs {
    texts: Texts,
    images: Images,
}

impl Inputs {
    fn logits(&self, model: &dyn DualEncoder) -> Result<Tensor> {
        let texts = model.text_embeds(&self.texts.input_ids, Some(&self.texts.attention_mask))?;
        Ok(model.logits_per_image(&model.image_embeds(&self.images)?, &texts)?)
    }
}

pub(crate) fn run(folder: &Folder, out: &mut Output, saved: &mut Saved) -> Result<()> {
    let dir = folder.dir.join("model");
    let load = || load_dual_encoder(&dir, Some(folder.dtype), &folder.device);
    let (model, processor) = (load()?, DualProcessor::load(&dir)?);
    let cases = folder.told["cases"].as_object().context("expected.json has no cases")?;
    for (name, told) in cases {
        no_grad(|| case(folder, &*model, &processor, name, told, out)).with_context(|| format!("case {name}"))?;
    }
    for (name, told) in folder.told["preprocess"].as_object().into_iter().flatten() {
        // What the reference could not prepare is not asked for.
        if told.get("preprocess_error").is_some() {
            continue;
        }
        let picture = folder.picture(told["file"].as_str().context("preprocess: a file")?)?;
        put_pictures(out, &format!("preprocess/{name}"), &processor.pictures(&[picture])?)?;
    }
    let told = &folder.told["train"];
    let batch = told["batch"].as_str().and_then(|b| b.strip_prefix("case/")).context("train.batch")?;
    let inputs = inputs(folder, &processor, &cases[batch])?;
    if folder.trains() {
        model.modules().set_trainable(|_| true)?;
        let params: Vec<(String, Param)> =
            model.modules().trainable().into_iter().map(|p| (p.name().to_owned(), p)).collect();
        training::steps(told, &params, || Ok(model.loss(&inputs.logits(&*model)?)?), "train", "", out)?;
    }
    for (variant, told_of) in folder.told["lora"].as_object().into_iter().flatten() {
        let model = load()?;
        let path = folder.dir.join(told_of["folder"].as_str().context("lora: a folder")?);
        let adapter = LoraAdapter::load(&*model, "default", &path).with_context(|| format!("adapter {variant}"))?;
        let prefix = format!("lora/{variant}");
        out.put(&format!("{prefix}/logits_tail"), &no_grad(|| inputs.logits(&*model))?)?;
        adapter.merge()?;
        out.put(&format!("{prefix}/merged_logits_tail"), &no_grad(|| inputs.logits(&*model))?)?;
        adapter.unmerge()?;
        if folder.trains() {
            adapter.set_trainable(true)?;
            let loss = || Ok(model.loss(&inputs.logits(&*model)?)?);
            training::steps(told, &adapter.peft_names(), loss, &prefix, &format!("{prefix}/"), out)?;
        }
        saved.put(variant, &adapter, || no_grad(|| inputs.logits(&*model)))?;
    }
    for (variant, config) in saved.fresh() {
        let model = load()?;
        let adapter = LoraAdapter::inject(&*model, "default", config, 11)?;
        saved.put(variant, &adapter, || no_grad(|| inputs.logits(&*model)))?;
    }
    Ok(())
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn pictures(folder: &Folder, processor: &DualProcessor, told: &Value) -> Result<Pictures> {
    let all = strings(&told["images"]).into_iter().map(|f| folder.picture(f)).collect::<Result<Vec<_>>>()?;
    Ok(processor.pictures(&all)?)
}

fn inputs(folder: &Folder, processor: &DualProcessor, told: &Value) -> Result<Inputs> {
    Ok(Inputs {
        texts: processor.texts(&strings(&told["texts"]))?,
        images: pictures(folder, processor, told)?.to_images(folder.dtype, &folder.device)?,
    })
}

fn put_pictures(out: &mut Output, prefix: &str, p: &Pictures) -> Result<()> {
    out.put_f32(&format!("{prefix}/pixel_values"), &p.data, &p.shape)?;
    let shapes: Vec<i64> = p.grid.iter().flat_map(|[_, h, w]| [*h as i64, *w as i64]).collect();
    out.put_i64(&format!("{prefix}/spatial_shapes"), &shapes, &[p.grid.len(), 2])?;
    let real = |[_, h, w]: &[usize; 3]| (0..p.shape[1]).map(|i| i64::from(i < h * w)).collect::<Vec<_>>();
    let mask: Vec<Vec<i64>> = p.grid.iter().map(real).collect();
    out.put_rows(&format!("{prefix}/pixel_attention_mask"), &mask)
}

fn case(
    folder: &Folder,
    model: &dyn DualEncoder,
    processor: &DualProcessor,
    name: &str,
    told: &Value,
    out: &mut Output,
) -> Result<()> {
    let prefix = format!("case/{name}");
    put_pictures(out, &prefix, &pictures(folder, processor, told)?)?;
    let Inputs { texts, images } = inputs(folder, processor, told)?;
    out.put_rows(&format!("{prefix}/input_ids"), &texts.input_ids)?;
    let mask: Vec<Vec<i64>> = texts.attention_mask.iter().map(|r| r.iter().map(|&m| i64::from(m)).collect()).collect();
    out.put_rows(&format!("{prefix}/attention_mask"), &mask)?;
    let (embeds, inner) = probe(|| -> Result<(Tensor, Tensor)> {
        let texts = model.text_embeds(&texts.input_ids, Some(&texts.attention_mask))?;
        Ok((model.image_embeds(&images)?, texts))
    });
    let (image_embeds, text_embeds) = embeds?;
    for (what, tensor) in &inner {
        if what == "vision_last_hidden" && !images.grid.is_empty() {
            // The reference writes zeros where there is padding.
            let room = tensor.size(1)?;
            let real: Vec<f32> = images
                .grid
                .iter()
                .flat_map(|[_, h, w]| (0..room).map(move |i| f32::from(u8::from(i < h * w))))
                .collect();
            let real = Tensor::from_slice(&real, [images.grid.len(), room, 1], tensor.device())?;
            out.put(&format!("{prefix}/{what}"), &(tensor * real.to_dtype(tensor.dtype())?)?)?;
        } else {
            out.put(&format!("{prefix}/{what}"), tensor)?;
        }
    }
    let logits = model.logits_per_image(&image_embeds, &text_embeds)?;
    let half = if folder.dtype == vlm_core::DType::BF16 { &["", "bf16/"][..] } else { &[""] };
    for at in half {
        out.put(&format!("{prefix}/{at}image_embeds"), &image_embeds)?;
        out.put(&format!("{prefix}/{at}text_embeds"), &text_embeds)?;
        out.put(&format!("{prefix}/{at}logits_per_image"), &logits)?;
    }
    out.put(&format!("{prefix}/logits_per_text"), &logits.t()?)?;
    out.put(&format!("{prefix}/probs"), &model.probabilities(&logits)?)?;
    if out.wants(&format!("{prefix}/loss")) {
        out.put(&format!("{prefix}/loss"), &model.loss(&logits)?)?;
    }
    Ok(())
}
