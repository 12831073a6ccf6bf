//! Learning which text belongs to which picture: CLIP's and SigLIP's losses.

use super::Task;
use super::digest::digest;
use crate::data::{Part, Role, Sample};
use crate::models::DualEncoder;
use crate::models::processor::DualProcessor;
use crate::nn::LossSum;
use crate::{Error, ErrorKind, Result};

const OP: &str = "pairs";

/// Pictures with their texts. Within a micro-batch each picture is compared with all texts, so larger batches teach more;
/// accumulating gradients does not make up for it.
#[derive(Debug)]
pub struct PairTask<'a> {
    model: &'a dyn DualEncoder,
    processor: &'a DualProcessor,
    samples: &'a [Sample],
    texts: Vec<String>,
}

impl<'a> PairTask<'a> {
    /// A task over `samples`, each with one picture; its text is what the assistant says.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] naming the row that has no text, or not one picture.
    pub fn new(model: &'a dyn DualEncoder, processor: &'a DualProcessor, samples: &'a [Sample]) -> Result<Self> {
        if samples.len() < 2 {
            let message = format!("{} rows: a picture is compared with the texts of others", samples.len());
            return Err(Error::new(ErrorKind::Data, OP, message).hint("give at least two rows"));
        }
        let texts = samples.iter().map(caption).collect::<Result<_>>()?;
        Ok(PairTask { model, processor, samples, texts })
    }
}

impl Task for PairTask<'_> {
    fn len(&self) -> usize {
        self.samples.len()
    }

    /// The loss of the batch times its rows: averaging over rows then gives the batch's loss.
    fn loss(&self, rows: &[usize]) -> Result<LossSum> {
        let mut pictures = Vec::with_capacity(rows.len());
        for &row in rows {
            pictures.extend(self.samples[row].pictures()?);
        }
        let texts: Vec<&str> = rows.iter().map(|&row| self.texts[row].as_str()).collect();
        let texts = self.processor.texts(&texts)?;
        let images = self.processor.pictures(&pictures)?.to_images(self.model.dtype(), self.model.device())?;
        let texts = self.model.text_embeds(&texts.input_ids, Some(&texts.attention_mask))?;
        let logits = self.model.logits_per_image(&self.model.image_embeds(&images)?, &texts)?;
        Ok(LossSum { sum: (self.model.loss(&logits)? * rows.len() as f64)?, tokens: rows.len() })
    }

    fn row_name(&self, row: usize) -> String {
        self.samples[row].id.clone()
    }

    /// A single pair has nothing to be told from: CLIP's loss is constant then.
    fn reaches_all(&self, rows: &[usize]) -> bool {
        rows.len() > 1
    }

    fn digest(&self) -> String {
        digest(self.samples, OP)
    }
}

fn caption(sample: &Sample) -> Result<String> {
    let bad = |what: String| {
        Err(Error::new(ErrorKind::Data, OP, format!("row {}: {what}", sample.id))
            .hint("each row is one picture of the user and one caption of the assistant"))
    };
    if sample.images.len() != 1 {
        return bad(format!("{} pictures, expected one", sample.images.len()));
    }
    let said = sample.messages.iter().filter(|m| m.role == Role::Assistant).flat_map(|m| &m.content);
    let text: String = said.filter_map(|p| if let Part::Text(text) = p { Some(text.as_str()) } else { None }).collect();
    if text.trim().is_empty() { bad("no caption".to_owned()) } else { Ok(text) }
}
