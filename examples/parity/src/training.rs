//! Three steps of training on one batch.

use crate::batches;
use crate::folder::Folder;
use crate::output::Output;
use anyhow::{Context, Result};
use serde_json::Value;
use vlm_core::Tensor;
use vlm_core::models::VlmBatch;
use vlm_core::models::processor::{Learn, PaddingSide};
use vlm_core::nn::Param;
use vlm_core::train::optim::{AdamW, AdamWOptions, Optimizer, collect, global_norm};

/// The batch that is trained on: the answers of `train.messages` are learnt, and what closes them.
pub(crate) fn vlm_batch(folder: &Folder, out: &mut Output) -> Result<VlmBatch> {
    let processor = folder.processor()?;
    let told = &folder.told["train"];
    let rows = batches::conversations(told)?.iter().map(|messages| {
        Ok(processor.training_row(messages, batches::pictures(folder, messages)?, Learn::LastAnswer)?)
    });
    let rows = rows.collect::<Result<Vec<_>>>()?;
    let encoded = batches::encode(folder, &processor, &rows, PaddingSide::Right, out, "train")?;
    out.put_rows("train/labels", encoded.labels.as_ref().context("train: there is nothing to learn")?)?;
    Ok(encoded.to_batch(folder.dtype, &folder.device)?)
}

/// All weights trained.
pub(crate) fn run(folder: &Folder, batch: &VlmBatch, out: &mut Output) -> Result<()> {
    let model = folder.model()?;
    model.modules().set_trainable(|_| true)?;
    let params = model.modules().trainable();
    let named: Vec<(String, Param)> = params.into_iter().map(|p| (p.name().to_owned(), p)).collect();
    steps(&folder.told["train"], &named, || Ok(model.loss(batch)?.mean()?), "train", "", out)
}

/// Steps of AdamW as `told` sets them. Losses and norms are written below `prefix`, gradients of the first step and values
/// after the last below `grads`.
pub(crate) fn steps(
    told: &Value,
    params: &[(String, Param)],
    loss_of: impl Fn() -> Result<Tensor>,
    prefix: &str,
    grads_at: &str,
    out: &mut Output,
) -> Result<()> {
    let adamw = &told["adamw"];
    let number = |key: &str| adamw[key].as_f64().with_context(|| format!("train.adamw.{key}"));
    let betas = (adamw["betas"][0].as_f64().context("betas")?, adamw["betas"][1].as_f64().context("betas")?);
    let (eps, weight_decay) = (number("eps")?, number("weight_decay")?);
    let mut optimizer = AdamW::new(AdamWOptions { betas, eps, weight_decay, decay_matrices_only: false });
    let handles: Vec<Param> = params.iter().map(|(_, p)| p.clone()).collect();
    let (mut losses, mut norms) = (Vec::new(), Vec::new());
    for step in 0..told["steps"].as_u64().unwrap_or(3) {
        let loss = loss_of()?;
        losses.push(loss.to_dtype(vlm_core::DType::F32)?.item::<f32>()?);
        let mut grads = loss.backward()?;
        let grads = collect(&handles, &mut grads, true)?;
        let norm = global_norm(grads.iter().flatten(), 1.0)?;
        norms.push(norm.norm as f32);
        for ((name, param), grad) in params.iter().zip(&grads).filter(|_| step == 0) {
            let name = format!("{grads_at}grad/{name}");
            match grad {
                Some(grad) => out.put(&name, grad)?,
                // What takes no part has no gradient; the reference writes zeros.
                None => out.put(&name, &param.tensor()?.detach().zeros_like()?)?,
            }
        }
        optimizer.step(&handles, &grads, number("lr")?, norm.clip_factor(told["clip_grad_norm"].as_f64()))?;
    }
    for (name, param) in params {
        out.put(&format!("{grads_at}after3/{name}"), &param.tensor()?)?;
    }
    out.put_f32(&format!("{prefix}/loss"), &losses[..1], &[1])?;
    out.put_f32(&format!("{prefix}/losses"), &losses, &[losses.len()])?;
    out.put_f32(&format!("{prefix}/grad_norms"), &norms, &[norms.len()])
}
