//! Decoding by recorded work, where the device has it: one call for a whole step.

use crate::autograd::no_grad;
use crate::backend::graphs::Graph;
use crate::models::text::{DecodeInputs, DecodeStep};
use crate::models::{VisionLanguageModel, VlmBatch};
use crate::nn::KvCache;
use crate::{Error, ErrorKind, Result, Tensor};

/// The least room that is recorded for: recording costs two steps.
const LEAST_ROOM: usize = 256;

/// A recorded step. It is recorded anew when the cache gets more room, which doubles each time.
#[derive(Debug)]
pub(super) struct Recorded {
    inputs: DecodeInputs,
    graph: Box<dyn Graph>,
    /// Overwritten by every replay.
    logits: Tensor,
    room: usize,
}

/// The logits of a batch of one token for each row, `[b, vocabulary]`, by recorded work; `None` where the device or the model has
/// none, and for prompts.
pub(super) fn step(
    model: &dyn VisionLanguageModel,
    batch: &VlmBatch,
    cache: &mut KvCache,
    held: &mut Option<Recorded>,
) -> Result<Option<Vec<f32>>> {
    let (Some(graphs), Some(text)) = (model.device().kernels().graphs(), model.decoder()) else { return Ok(None) };
    let (rows, cached) = (batch.input_ids.len(), cache.len());
    if cached == 0 || batch.images.is_some() || batch.input_ids.iter().any(|row| row.len() != 1) {
        return Ok(None);
    }
    cache.reserve(1)?;
    let positions = model.step_positions(batch, cached, cache.position_deltas())?;
    // A placeholder that the model said may lie beyond the vocabulary; its embedding is not defined, 0 stands for it.
    let said = |id: i64| if id == model.image_token_id() && id >= text.config().vocab_size as i64 { 0 } else { id };
    let ids: Vec<i64> = batch.input_ids.iter().map(|row| said(row[0])).collect();
    let step = DecodeStep { ids: &ids, positions: &positions, mask: batch.attention_mask.as_deref(), cached };
    if held.as_ref().is_none_or(|h| cached >= h.room) {
        // The old recording goes first, with the memory that it keeps.
        *held = None;
        cache.make_room((cached + 1).next_power_of_two().max(LEAST_ROOM))?;
        let room = cache.room();
        let inputs = DecodeInputs::new(text, rows, room, model.device())?;
        inputs.write(graphs, text, step)?;
        let mut logits = None;
        let graph = graphs.capture(&mut || {
            // What the run before made goes first: its memory is not that of the recording.
            logits = None;
            logits = Some(no_grad(|| text.decode(&inputs, cache))?);
            Ok(())
        })?;
        let logits = logits.ok_or_else(|| Error::new(ErrorKind::Backend, "generate", "nothing was recorded"))?;
        *held = Some(Recorded { inputs, graph, logits, room });
    }
    let Some(recorded) = held else { return Ok(None) };
    recorded.inputs.write(graphs, text, step)?;
    recorded.graph.replay()?;
    let logits = recorded.logits.to_vec()?;
    cache.advance(1);
    Ok(Some(logits))
}
