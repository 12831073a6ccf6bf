//! A decoding step of fixed shapes: what recorded work ([`backend::graphs`](crate::backend::graphs)) is made of.

use super::TextModel;
use crate::backend::graphs::Graphs;
use crate::nn::{KvCache, Positions};
use crate::tensor::{AttentionOptions, RopeTables};
use crate::{DType, Device, Element, Error, ErrorKind, Result, Tensor};

const OP: &str = "decode";

/// What changes from token to token, on the device: one token for each row, all written at one place of the cache.
#[derive(Debug)]
pub struct DecodeInputs {
    /// `[b, 1]`, `i64`.
    ids: Tensor,
    /// `[1]`, `i64`.
    place: Tensor,
    /// For each rotary embedding of the model.
    tables: Vec<RopeTables>,
    /// For each window that layers look at: who is seen, `[b, 1, 1, room]`; added to the scores, or truth values where those
    /// are capped.
    masks: Vec<(Option<usize>, Tensor)>,
    room: usize,
}

/// One token for each row, as the host knows it.
#[derive(Clone, Copy, Debug)]
pub struct DecodeStep<'a> {
    /// The tokens.
    pub ids: &'a [i64],
    /// Where they are.
    pub positions: &'a Positions,
    /// `[b][tokens before and this one]`, false for padding; `None`: nothing is padding.
    pub mask: Option<&'a [Vec<bool>]>,
    /// The number of tokens before them in the cache.
    pub cached: usize,
}

impl DecodeInputs {
    /// Inputs for `rows` rows and a cache with room for `room` tokens.
    ///
    /// # Errors
    /// Those of the device.
    pub fn new(text: &TextModel, rows: usize, room: usize, device: &Device) -> Result<Self> {
        let zeros = |shape: [usize; 3]| Tensor::from_slice(&vec![0f32; shape.iter().product()], shape, device);
        let table = |half: usize| Ok(RopeTables { cos: zeros([rows, 1, half])?, sin: zeros([rows, 1, half])? });
        let mut windows: Vec<Option<usize>> = (0..text.layers.len()).map(|i| text.config.window(i)).collect();
        windows.sort_unstable();
        windows.dedup();
        let capped = text.config.attention_cap().is_some();
        let mask = |window| {
            let (n, shape) = (rows * room, [rows, 1, 1, room]);
            let mask = if capped {
                Tensor::from_slice(&vec![false; n], shape, device)?
            } else {
                Tensor::from_slice(&vec![0f32; n], shape, device)?
            };
            Ok((window, mask))
        };
        Ok(DecodeInputs {
            ids: Tensor::from_slice(&vec![0i64; rows], [rows, 1], device)?,
            place: Tensor::from_slice(&[0i64], 1, device)?,
            tables: text.ropes.iter().map(|r| table(r.half())).collect::<Result<_>>()?,
            masks: windows.into_iter().map(mask).collect::<Result<_>>()?,
            room,
        })
    }

    /// Brings a token for each row to the device.
    ///
    /// # Errors
    /// [`ErrorKind::Index`] for a token outside of the vocabulary, [`ErrorKind::Config`] for a position beyond the model's or a place
    /// beyond the room.
    pub fn write(&self, graphs: &dyn Graphs, text: &TextModel, step: DecodeStep<'_>) -> Result<()> {
        let (vocabulary, max) = (text.config.vocab_size as i64, text.config.max_position_embeddings as i64);
        if let Some(id) = step.ids.iter().find(|id| !(0..vocabulary).contains(id)) {
            return Err(Error::new(ErrorKind::Index, OP, format!("token {id} is outside of 0..{vocabulary}")));
        }
        let last = step.positions.max();
        if last >= max || step.cached >= self.room {
            let message =
                format!("position {last} is beyond max_position_embeddings {max}, or there is no room for it");
            return Err(Error::new(ErrorKind::Config, OP, message).hint("shorten the input"));
        }
        let write = |to: &Tensor, bytes: &[u8]| graphs.write(to.view().storage, bytes);
        write(&self.ids, i64::as_bytes(step.ids))?;
        write(&self.place, i64::as_bytes(&[step.cached as i64]))?;
        for (rope, tables) in text.ropes.iter().zip(&self.tables) {
            let [cos, sin] = rope.values(step.positions, step.ids.len());
            write(&tables.cos, f32::as_bytes(&cos))?;
            write(&tables.sin, f32::as_bytes(&sin))?;
        }
        for (window, mask) in &self.masks {
            let seen = self.seen(step, *window);
            if mask.dtype() == DType::Bool {
                write(mask, bool::as_bytes(&seen))?;
            } else {
                let added: Vec<f32> = seen.iter().map(|&s| if s { 0.0 } else { f32::NEG_INFINITY }).collect();
                write(mask, f32::as_bytes(&added))?;
            }
        }
        Ok(())
    }

    /// Which places each row's token sees: those before it and its own that are within the window and no padding.
    fn seen(&self, step: DecodeStep<'_>, window: Option<usize>) -> Vec<bool> {
        let near = |place: usize| place <= step.cached && window.is_none_or(|w| step.cached - place < w);
        let real = |row: usize, place: usize| step.mask.is_none_or(|m| m[row][place]);
        let row = |row: usize| (0..self.room).map(move |place| near(place) && real(row, place));
        (0..step.ids.len()).flat_map(row).collect()
    }
}

impl TextModel {
    /// The logits of one token for each row, `[b, vocabulary]` in `f32`, after its keys and values are in the cache. Every shape is that
    /// of the inputs; nothing is read on the host.
    ///
    /// # Errors
    /// Those of its operations.
    pub fn decode(&self, inputs: &DecodeInputs, cache: &mut KvCache) -> Result<Tensor> {
        cache.set_place(Some(inputs.place.clone()));
        let logits = self.decode_layers(inputs, cache);
        cache.set_place(None);
        logits
    }

    fn decode_layers(&self, inputs: &DecodeInputs, cache: &mut KvCache) -> Result<Tensor> {
        let scale = self.config.attention_scale();
        let mut x = self.embed(&inputs.ids)?;
        for (i, layer) in self.layers.iter().enumerate() {
            let window = self.config.window(i);
            let mask = inputs.masks.iter().find(|(w, _)| *w == window).map(|(_, mask)| mask.clone());
            let options = AttentionOptions { mask, scale, ..AttentionOptions::default() };
            x = layer.forward(&x, &inputs.tables[self.rope_of[i]], &options, Some((&mut *cache, i)))?;
        }
        let [rows, _, d] = x.dims()?;
        self.logits(&self.norm.forward(&x)?.reshape([rows, d])?)?.to_dtype(DType::F32)
    }
}
