//! What a model makes of conversations: tokens, pictures, logits, greedy answers.

use crate::folder::Folder;
use crate::output::Output;
use crate::{batches, layout};
use anyhow::{Context, Result};
use serde_json::Value;
use vlm_core::autograd::no_grad;
use vlm_core::models::processor::{Encoded, PaddingSide, Processor};
use vlm_core::models::{VisionLanguageModel, VlmBatch};
use vlm_core::nn::probe;
use vlm_core::{DType, Tensor};

pub(crate) fn run(folder: &Folder, out: &mut Output) -> Result<()> {
    let (model, processor) = (folder.model()?, folder.processor()?);
    for (name, told) in folder.told["cases"].as_object().context("expected.json has no cases")? {
        no_grad(|| case(folder, &*model, &processor, name, told, out)).with_context(|| format!("case {name}"))?;
    }
    for (name, told) in folder.told["preprocess"].as_object().into_iter().flatten() {
        // What the reference could not prepare is not asked for.
        if told.get("preprocess_error").is_some() {
            continue;
        }
        let picture = folder.picture(told["file"].as_str().context("preprocess: a file")?)?;
        let pictures = processor.rules().pictures(&[vec![picture]])?;
        layout::put(folder, out, &format!("preprocess/{name}"), &pictures)?;
    }
    Ok(())
}

fn case(
    folder: &Folder,
    model: &dyn VisionLanguageModel,
    processor: &Processor,
    name: &str,
    told: &Value,
    out: &mut Output,
) -> Result<()> {
    let conversations = batches::conversations(told)?;
    let rows = conversations.iter().map(|m| batches::row(folder, processor, m, true)).collect::<Result<Vec<_>>>()?;
    out.put_text(name, "rendered_prompt", &rows.iter().map(|r| r.text.clone()).collect::<Vec<_>>());
    let prefix = format!("case/{name}");
    let encoded = batches::encode(folder, processor, &rows, PaddingSide::Left, out, &prefix)?;
    out.put_text(name, "expanded_prompt", &encoded.expanded);
    let batch = encoded.to_batch(folder.dtype, &folder.device)?;
    let (hidden, inner) = probe(|| model.hidden_states(&batch, None));
    let hidden = hidden?;
    for (what, tensor) in &inner {
        out.put(&format!("{prefix}/{what}"), tensor)?;
    }
    let (s, tail) = (hidden.size(1)?, folder.number("tail", 12));
    if out.wants(&format!("{prefix}/logits")) {
        out.put(&format!("{prefix}/logits"), &model.logits(&hidden)?)?;
    }
    let kept = tail.min(s);
    let last = model.logits(&hidden.narrow(1, s - kept, kept)?)?;
    out.put(&format!("{prefix}/logits_tail"), &last)?;
    if folder.dtype == DType::BF16 {
        out.put(&format!("{prefix}/bf16/logits_tail"), &last)?;
    }
    let answers = greedy(model, &batch, folder.number("new_tokens", 12))?;
    out.put_rows(&format!("{prefix}/greedy_ids"), &answers)?;
    let text = |ids: &Vec<i64>| {
        let ids: Vec<u32> = ids.iter().map(|&id| id as u32).collect();
        processor.tokenizer().decode(&ids, false)
    };
    out.put_text(name, "greedy_text", &answers.iter().map(text).collect::<vlm_core::Result<Vec<_>>>()?);
    match told["continuation"].as_str() {
        Some(continuation) => continued(model, processor, &encoded, &batch, continuation, &prefix, out),
        None => Ok(()),
    }
}

/// The likeliest token of each row, step by step; an end token does not stop it.
fn greedy(model: &dyn VisionLanguageModel, batch: &VlmBatch, steps: usize) -> Result<Vec<Vec<i64>>> {
    let mut batch = batch.clone();
    let (mut said, mut cache) =
        (vec![Vec::new(); batch.input_ids.len()], model.new_cache(batch.input_ids[0].len() + steps)?);
    for _ in 0..steps {
        let hidden = model.hidden_states(&batch, Some(&mut cache))?;
        let last = hidden.select(1, hidden.shape()[1] - 1)?;
        let next = model.logits(&last)?.argmax(-1, false)?.to_vec::<i64>()?;
        said.iter_mut().zip(&next).for_each(|(row, &id)| row.push(id));
        let mask = batch.attention_mask.take().map(|mut rows| {
            rows.iter_mut().for_each(|row| row.push(true));
            rows
        });
        let input_ids = next.iter().map(|&id| vec![id]).collect();
        batch = VlmBatch { input_ids, attention_mask: mask, ..VlmBatch::default() };
    }
    Ok(said)
}

/// How probable a given continuation of the prompt is, token by token.
fn continued(
    model: &dyn VisionLanguageModel,
    processor: &Processor,
    encoded: &Encoded,
    batch: &VlmBatch,
    text: &str,
    prefix: &str,
    out: &mut Output,
) -> Result<()> {
    let ids: Vec<i64> = processor.tokenizer().encode(text, false)?.into_iter().map(i64::from).collect();
    out.put_rows(&format!("{prefix}/continuation_ids"), std::slice::from_ref(&ids))?;
    let mut longer = batch.clone();
    longer.input_ids[0].extend(&ids);
    longer.attention_mask.iter_mut().for_each(|m| m[0].extend(ids.iter().map(|_| true)));
    longer.token_type_ids.iter_mut().for_each(|t| t[0].extend(ids.iter().map(|_| 1)));
    let hidden = model.hidden_states(&longer, None)?.narrow(1, encoded.input_ids[0].len() - 1, ids.len())?;
    let logprobs = model.logits(&hidden)?.to_dtype(DType::F32)?.log_softmax(-1)?;
    let index = Tensor::from_slice(&ids, [1, ids.len(), 1], model.device())?;
    out.put(&format!("{prefix}/continuation_logprobs"), &logprobs.gather(-1, &index)?)
}
