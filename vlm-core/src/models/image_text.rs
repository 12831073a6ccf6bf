//! Models that put picture features in the place of placeholders among token embeddings.

use super::text::{Deepstack, TextInputs, TextModel};
use super::{Images, Model, VisionLanguageModel, VlmBatch};
use crate::nn::{KvCache, LossSum, Positions, show};
use crate::{Error, ErrorKind, Result, Tensor};

/// What a vision tower and its projector make of pictures.
#[derive(Clone, Debug)]
pub struct Features {
    /// `[picture tokens, hidden]`, pictures one after the other.
    pub tokens: Tensor,
    /// What is added at the same places after layer 0, 1, … of the language model, as `tokens` (Qwen3-VL).
    pub deepstack: Vec<Tensor>,
}

impl From<Tensor> for Features {
    fn from(tokens: Tensor) -> Self {
        Features { tokens, deepstack: Vec::new() }
    }
}

/// A vision tower, a projector and a [`TextModel`] that reads both. Whoever implements this is a
/// [`VisionLanguageModel`].
pub trait ImageTextModel: Model {
    /// The language model.
    fn language_model(&self) -> &TextModel;

    /// What the language model sees of pictures.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] or [`ErrorKind::Data`] for pictures of another family's processor.
    fn features(&self, images: &Images) -> Result<Features>;

    /// The id that stands for a piece of a picture in the text.
    fn placeholder(&self) -> i64;

    /// The position of every token of the batch, and what [`KvCache::position_deltas`] shall be after it.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if placeholders and pictures do not fit.
    fn positions(&self, batch: &VlmBatch, cached: usize, deltas: &[i64]) -> Result<(Positions, Vec<i64>)> {
        let _ = deltas;
        Ok((batch.positions(cached), Vec::new()))
    }

    /// Tokens that see each other both ways, as in [`TextInputs::groups`].
    fn groups(&self, batch: &VlmBatch, cached: usize) -> Option<Vec<Vec<Option<usize>>>> {
        let _ = (batch, cached);
        None
    }

    /// The batch as the language model reads it.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if placeholders and features differ in number.
    fn text_inputs<'a>(
        &self,
        batch: &'a VlmBatch,
        cached: usize,
        deltas: &[i64],
    ) -> Result<(TextInputs<'a>, Vec<i64>)> {
        let (positions, deltas) = self.positions(batch, cached, deltas)?;
        if positions.axes().len() > 1 {
            let flat: Vec<i64> = positions.axes().iter().flatten().flatten().copied().collect();
            let shape = [positions.axes().len(), batch.input_ids.len(), positions.len()];
            show(|| "position_ids".to_owned(), &Tensor::from_slice(&flat, shape, self.device())?);
        }
        let (embeds, deepstack) = self.place(batch, cached)?;
        show(|| "inputs_embeds".to_owned(), &embeds);
        let (mask, groups) = (batch.attention_mask.as_deref(), self.groups(batch, cached));
        Ok((TextInputs { embeds, positions, mask, groups, deepstack }, deltas))
    }

    /// Token embeddings with picture features in the place of placeholders, `[b, s, hidden]`. A placeholder among tokens
    /// that follow `cached` ones without pictures was said by the model and is a token like any other.
    ///
    /// # Errors
    /// As [`ImageTextModel::text_inputs`].
    fn place(&self, batch: &VlmBatch, cached: usize) -> Result<(Tensor, Option<Deepstack>)> {
        let (b, s) = (batch.input_ids.len(), batch.input_ids[0].len());
        let flat = || batch.input_ids.iter().flatten().copied();
        let picture = self.placeholder();
        let text = self.language_model();
        // A placeholder may lie beyond the vocabulary; its own embedding is not used.
        let beyond = picture >= text.config().vocab_size as i64;
        let ids: Vec<i64> = flat().map(|id| if beyond && id == picture { 0 } else { id }).collect();
        let embeds = text.embed(&Tensor::from_slice(&ids, [b, s], self.device())?)?;
        if cached > 0 && batch.images.is_none() {
            return Ok((embeds, None));
        }
        let places: Vec<i64> = flat().zip(0..).filter(|(id, _)| *id == picture).map(|(_, at)| at).collect();
        let features = batch.images.as_ref().map(|images| self.features(images)).transpose()?;
        let found = features.as_ref().map_or(0, |f| f.tokens.shape()[0]);
        if places.len() != found {
            let message =
                format!("the text has {} picture placeholders, the pictures give {found} tokens", places.len());
            return Err(Error::new(ErrorKind::Data, "pictures in text", message).hint(
                "expand each picture's placeholder with the processor; check that text was not cut inside of it",
            ));
        }
        let Some(features) = features else { return Ok((embeds, None)) };
        // One table of both, and for each place the row that belongs there.
        let d = text.config().hidden_size;
        let table = Tensor::cat(&[embeds.reshape([b * s, d])?, features.tokens], 0)?;
        let mut rows: Vec<i64> = (0..(b * s) as i64).collect();
        places.iter().zip(b * s..).for_each(|(&at, row)| rows[at as usize] = row as i64);
        let placed = table.index_select(0, &Tensor::from_slice(&rows, b * s, self.device())?)?.reshape([b, s, d])?;
        let deepstack = if features.deepstack.is_empty() {
            None
        } else {
            let rows = Tensor::from_slice(&places, places.len(), self.device())?;
            Some(Deepstack { rows, features: features.deepstack })
        };
        Ok((placed, deepstack))
    }
}

impl<M: ImageTextModel> VisionLanguageModel for M {
    fn image_features(&self, images: &Images) -> Result<Tensor> {
        Ok(self.features(images)?.tokens)
    }

    fn hidden_states(&self, batch: &VlmBatch, mut cache: Option<&mut KvCache>) -> Result<Tensor> {
        let cached = cache.as_ref().map_or(0, |c| c.len());
        batch.size(cached)?;
        let deltas = cache.as_ref().map_or(&[][..], |c| c.position_deltas());
        let (inputs, deltas) = self.text_inputs(batch, cached, deltas)?;
        if let Some(cache) = cache.as_deref_mut() {
            cache.set_position_deltas(deltas);
        }
        self.language_model().forward(&inputs, cache)
    }

    fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        self.language_model().logits(hidden)
    }

    fn loss(&self, batch: &VlmBatch) -> Result<LossSum> {
        let Some(labels) = &batch.labels else {
            return Err(Error::new(ErrorKind::Data, "loss", "the batch has no labels"));
        };
        self.language_model().loss(&self.hidden_states(batch, None)?, labels)
    }

    fn new_cache(&self, tokens: usize) -> Result<KvCache> {
        self.language_model().new_cache(tokens)
    }

    fn image_token_id(&self) -> i64 {
        self.placeholder()
    }

    fn set_gradient_checkpointing(&self, on: bool) {
        self.language_model().set_gradient_checkpointing(on);
    }

    fn decoder(&self) -> Option<&TextModel> {
        Some(self.language_model())
    }

    fn step_positions(&self, batch: &VlmBatch, cached: usize, deltas: &[i64]) -> Result<Positions> {
        Ok(self.positions(batch, cached, deltas)?.0)
    }
}
