//! Learning to answer: conversations with pictures.

use super::Task;
use super::digest::digest;
use crate::data::Sample;
use crate::models::processor::{Encoded, Learn, PaddingSide, Processor};
use crate::models::{VisionLanguageModel, VlmBatch};
use crate::nn::LossSum;
use crate::tensor::IGNORE_INDEX;
use crate::text::template::messages_to_json;
use crate::vision::{Picture, Resample, resize};
use crate::{Error, ErrorKind, Result};

const OP: &str = "conversation";

/// How conversations are learnt, with LLaMA-Factory's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConversationOptions {
    /// Most tokens of a conversation; what follows is cut off. Never inside of a picture: that is an error.
    pub cutoff_len: Option<usize>,
    /// Learns what others say too. The places of pictures are never learnt.
    pub train_on_prompt: bool,
    /// Learns the last answer alone.
    pub mask_history: bool,
    /// Larger pictures are made smaller, to this many pixels, before the model's own preparation.
    pub image_max_pixels: Option<usize>,
    /// Smaller pictures are made larger, likewise.
    pub image_min_pixels: Option<usize>,
}

impl ConversationOptions {
    /// A picture within the limits, resized as LLaMA-Factory does: the root of the ratio, rounded down, bicubic.
    fn fit(&self, picture: Picture) -> Result<Picture> {
        let (width, height) = (picture.width(), picture.height());
        let pixels = width * height;
        let above = self.image_max_pixels.filter(|max| pixels > *max);
        let Some(wanted) = above.or(self.image_min_pixels.filter(|min| pixels < *min)) else { return Ok(picture) };
        let factor = (wanted as f64 / pixels as f64).sqrt();
        let side = |n: usize| ((n as f64 * factor) as usize).max(1);
        resize(&picture, side(width), side(height), Resample::Bicubic)
    }
}

/// What conversations come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Conversations looked at.
    pub rows: usize,
    /// Their tokens.
    pub tokens: usize,
    /// Tokens to be learnt.
    pub learnt: usize,
    /// Tokens of the longest one.
    pub longest: usize,
}

/// Conversations that a model learns to answer. Pictures are decoded when their row's turn comes, so that memory does not
/// grow with the dataset.
#[derive(Debug)]
pub struct ConversationTask<'a> {
    model: &'a dyn VisionLanguageModel,
    processor: &'a Processor,
    samples: &'a [Sample],
    options: ConversationOptions,
}

impl<'a> ConversationTask<'a> {
    /// A task over `samples`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if there are none; [`ErrorKind::Config`] for options that contradict each other.
    pub fn new(
        model: &'a dyn VisionLanguageModel,
        processor: &'a Processor,
        samples: &'a [Sample],
        options: ConversationOptions,
    ) -> Result<Self> {
        if samples.is_empty() {
            return Err(Error::new(ErrorKind::Data, OP, "there are no rows to learn from"));
        }
        if options.train_on_prompt && options.mask_history {
            return Err(Error::new(ErrorKind::Config, OP, "train_on_prompt and mask_history contradict each other"));
        }
        if let (Some(max), Some(min)) = (options.image_max_pixels, options.image_min_pixels)
            && max < min
        {
            let message = format!("image_max_pixels {max} is below image_min_pixels {min}");
            return Err(Error::new(ErrorKind::Config, OP, message));
        }
        if options.cutoff_len.is_some_and(|n| n < 2) {
            return Err(Error::new(ErrorKind::Config, OP, "cutoff_len is below 2: nothing could be predicted"));
        }
        Ok(ConversationTask { model, processor, samples, options })
    }

    /// Prepares the first `most` rows as for training, without computing with them: finds rows that cannot be learnt
    /// before hours are spent.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] naming the first row that cannot be used, and why.
    pub fn survey(&self, most: usize) -> Result<Survey> {
        let mut found = Survey::default();
        for row in 0..self.samples.len().min(most) {
            let encoded = self.encode(&[row])?;
            let (tokens, labels) = (encoded.input_ids[0].len(), encoded.labels.unwrap_or_default());
            found.rows += 1;
            found.tokens += tokens;
            found.longest = found.longest.max(tokens);
            found.learnt += labels.iter().flatten().filter(|&&label| label != IGNORE_INDEX).count();
        }
        Ok(found)
    }

    /// A micro-batch as the model reads it, rows padded on the right.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] naming the row that cannot be learnt: placeholders and pictures differ, the template refuses
    /// it, or `cutoff_len` leaves nothing to learn or cuts into a picture; [`ErrorKind::Image`] for a damaged picture.
    pub fn batch(&self, rows: &[usize]) -> Result<VlmBatch> {
        self.encode(rows)?.to_batch(self.model.dtype(), self.model.device())
    }

    fn encode(&self, rows: &[usize]) -> Result<Encoded> {
        let learn = match self.options {
            ConversationOptions { train_on_prompt: true, .. } => Learn::Everything,
            ConversationOptions { mask_history: true, .. } => Learn::LastAnswer,
            ConversationOptions { .. } => Learn::Answers,
        };
        let prepared = rows.iter().map(|&row| {
            let sample = &self.samples[row];
            let pictures = sample.pictures()?.into_iter().map(|p| self.options.fit(p)).collect::<Result<_>>()?;
            let messages = messages_to_json(&sample.messages);
            self.processor.training_row(&messages, pictures, learn).map_err(|e| e.with("row", &sample.id))
        });
        let prepared = prepared.collect::<Result<Vec<_>>>()?;
        let names = || rows.iter().map(|&row| self.samples[row].id.as_str()).collect::<Vec<_>>().join(", ");
        let mut encoded = self.processor.encode(&prepared, PaddingSide::Right).map_err(|e| e.with("rows", names()))?;
        let picture = self.model.image_token_id();
        for (ids, labels) in encoded.input_ids.iter().zip(encoded.labels.iter_mut().flatten()) {
            ids.iter().zip(labels).filter(|(id, _)| **id == picture).for_each(|(_, label)| *label = IGNORE_INDEX);
        }
        if let Some(most) = self.options.cutoff_len {
            self.cut(&mut encoded, rows, most)?;
        }
        for (i, labels) in encoded.labels.iter().flatten().enumerate() {
            // The first token is predicted from nothing.
            if labels.iter().skip(1).all(|&label| label == IGNORE_INDEX) {
                let id = &self.samples[rows[i]].id;
                let cut = self.options.cutoff_len.map_or_else(String::new, |n| format!(" within cutoff_len {n}"));
                return Err(Error::new(ErrorKind::Data, OP, format!("row {id} has nothing to learn{cut}"))
                    .hint("end the conversation with an answer, or allow more tokens"));
            }
        }
        Ok(encoded)
    }

    /// Cuts rows to `most` tokens. Rows are padded on the right, so that one cut serves all.
    fn cut(&self, encoded: &mut Encoded, rows: &[usize], most: usize) -> Result<()> {
        let picture = self.model.image_token_id();
        for (i, ids) in encoded.input_ids.iter().enumerate().filter(|(_, ids)| ids.len() > most) {
            if let Some(at) = ids.iter().rposition(|&id| id == picture).filter(|at| *at >= most) {
                let id = &self.samples[rows[i]].id;
                let message =
                    format!("row {id}: cutoff_len {most} would cut its pictures, which need {} tokens", at + 1);
                return Err(Error::new(ErrorKind::Data, OP, message)
                    .hint("allow more tokens, use fewer or smaller pictures, or leave the row out"));
            }
        }
        let rows_of = |rows: &mut Vec<Vec<i64>>| rows.iter_mut().for_each(|row| row.truncate(most));
        rows_of(&mut encoded.input_ids);
        encoded.attention_mask.iter_mut().for_each(|row| row.truncate(most));
        encoded.token_type_ids.as_mut().map(rows_of);
        encoded.labels.as_mut().map(rows_of);
        Ok(())
    }
}

impl Task for ConversationTask<'_> {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn loss(&self, rows: &[usize]) -> Result<LossSum> {
        self.model.loss(&self.batch(rows)?)
    }

    fn row_name(&self, row: usize) -> String {
        self.samples[row].id.clone()
    }

    /// Rows with pictures reach the tower and the projector; if there are none, no row does more than any other.
    fn reaches_all(&self, rows: &[usize]) -> bool {
        rows.iter().any(|&row| !self.samples[row].images.is_empty())
            || self.samples.iter().all(|sample| sample.images.is_empty())
    }

    fn digest(&self) -> String {
        digest(self.samples, &format!("{:?}", self.options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_brought_within_the_limits() {
        let options = ConversationOptions {
            image_max_pixels: Some(600),
            image_min_pixels: Some(50),
            ..ConversationOptions::default()
        };
        // int(w * sqrt(600 / (w * h))), as Python computes it; a picture within the limits stays as it is.
        for ((w, h), want) in [((40, 30), (28, 21)), ((20, 30), (20, 30)), ((3, 4), (6, 8)), ((5000, 1), (1732, 1))] {
            let picture = Picture::from_grey(w, h, &vec![7; w * h]).unwrap();
            let fitted = options.fit(picture).unwrap();
            assert_eq!((fitted.width(), fitted.height()), want, "{w}x{h}");
        }
    }
}
