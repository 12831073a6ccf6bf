//! PEFT's adapters: logits beside the weights and merged into them, and three steps of training them.

use crate::folder::Folder;
use crate::output::Output;
use crate::saved::Saved;
use crate::training;
use anyhow::{Context, Result};
use vlm_core::Tensor;
use vlm_core::autograd::no_grad;
use vlm_core::lora::LoraAdapter;
use vlm_core::models::{VisionLanguageModel, VlmBatch};

pub(crate) fn run(folder: &Folder, batch: &VlmBatch, out: &mut Output, saved: &mut Saved) -> Result<()> {
    let tail = folder.number("tail", 12);
    for (variant, told) in folder.told["lora"].as_object().into_iter().flatten() {
        let model = folder.model()?;
        let path = folder.dir.join(told["folder"].as_str().context("lora: a folder")?);
        let adapter = LoraAdapter::load(&*model, "default", &path).with_context(|| format!("adapter {variant}"))?;
        let prefix = format!("lora/{variant}");
        out.put(&format!("{prefix}/logits_tail"), &no_grad(|| last_logits(&*model, batch, tail))?)?;
        adapter.merge()?;
        out.put(&format!("{prefix}/merged_logits_tail"), &no_grad(|| last_logits(&*model, batch, tail))?)?;
        adapter.unmerge()?;
        if folder.trains() {
            adapter.set_trainable(true)?;
            let loss = || Ok(model.loss(batch)?.mean()?);
            training::steps(&folder.told["train"], &adapter.peft_names(), loss, &prefix, &format!("{prefix}/"), out)?;
        }
        saved.put(variant, &adapter, || no_grad(|| last_logits(&*model, batch, tail)))?;
    }
    for (variant, config) in saved.fresh() {
        let model = folder.model()?;
        let adapter = LoraAdapter::inject(&*model, "default", config, 11)?;
        saved.put(variant, &adapter, || no_grad(|| last_logits(&*model, batch, tail)))?;
    }
    Ok(())
}

/// Logits of the last `tail` real places of each row, `[b, tail, vocabulary]`.
fn last_logits(model: &dyn VisionLanguageModel, batch: &VlmBatch, tail: usize) -> Result<Tensor> {
    let hidden = model.hidden_states(batch, None)?;
    let mut rows = Vec::with_capacity(batch.input_ids.len());
    for (i, mask) in batch.attention_mask.iter().flatten().enumerate() {
        let real = mask.iter().filter(|m| **m).count();
        let kept = tail.min(real);
        rows.push(hidden.select(0, i)?.narrow(0, real - kept, kept)?);
    }
    Ok(model.logits(&Tensor::stack(&rows, 0)?)?)
}
