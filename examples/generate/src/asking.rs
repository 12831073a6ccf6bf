//! A model with everything that asking it needs.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;
use vlm_core::data::Message;
use vlm_core::generate::{FinishReason, Generated, GenerationConfig, generate_texts};
use vlm_core::lora::LoraAdapter;
use vlm_core::models::processor::{PaddingSide, Processor, Row};
use vlm_core::models::{VisionLanguageModel, load};
use vlm_core::text::template::messages_to_json;
use vlm_core::vision::Picture;
use vlm_core::{DType, Device};

/// A conversation and its pictures.
pub(crate) type Conversation = (Vec<Message>, Vec<Picture>);

/// A model, its processor and how to generate.
#[derive(Debug)]
pub(crate) struct Asker {
    model: Box<dyn VisionLanguageModel>,
    processor: Processor,
    config: GenerationConfig,
}

/// Answers to some conversations, and what they took.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) answers: Vec<Generated>,
    prompt_tokens: Vec<usize>,
    seconds: f64,
}

impl Asker {
    /// Loads the folder and puts adapters beside the weights, each under the name of its folder.
    ///
    /// # Errors
    /// Those of the model, the processor and the adapters.
    pub(crate) fn load(
        dir: &Path,
        dtype: Option<DType>,
        device: &Device,
        adapters: &[PathBuf],
        config: GenerationConfig,
    ) -> Result<Self> {
        let model = load(dir, dtype, device)?;
        for (i, folder) in adapters.iter().enumerate() {
            LoraAdapter::load(&*model, &format!("adapter-{i}"), folder)
                .with_context(|| format!("adapter {}", folder.display()))?;
        }
        Ok(Asker { model, processor: Processor::load(dir)?, config })
    }

    /// Answers conversations side by side; `on_text` sees each row's text as it comes.
    ///
    /// # Errors
    /// Those of the processor and the model.
    pub(crate) fn answer(&self, conversations: &[Conversation], mut on_text: impl FnMut(usize, &str)) -> Result<Said> {
        let started = Instant::now();
        let rows = conversations.iter().map(|(messages, pictures)| {
            let text = self.processor.render(&messages_to_json(messages), true)?;
            Ok(Row { text, pictures: pictures.clone(), ..Row::default() })
        });
        let rows = rows.collect::<vlm_core::Result<Vec<_>>>()?;
        let encoded = self.processor.encode(&rows, PaddingSide::Left)?;
        let prompt_tokens = encoded.attention_mask.iter().map(|row| row.iter().filter(|m| **m).count()).collect();
        let batch = encoded.to_batch(self.model.dtype(), self.model.device())?;
        let tokenizer = self.processor.tokenizer();
        let answers = generate_texts(&*self.model, tokenizer, batch, self.config.clone(), |row, piece| {
            on_text(row, piece);
            ControlFlow::Continue(())
        })?;
        Ok(Said { answers, prompt_tokens, seconds: started.elapsed().as_secs_f64() })
    }
}

impl Said {
    /// One answer with its figures; the time is that of all answers together.
    pub(crate) fn to_json(&self, row: usize) -> Value {
        let Generated { text, ids, finish } = &self.answers[row];
        let finish = match finish {
            FinishReason::Length => "length",
            FinishReason::End | FinishReason::Stop => "stop",
        };
        json!({
            "text": text, "finish_reason": finish, "prompt_tokens": self.prompt_tokens[row],
            "completion_tokens": ids.len(), "seconds": self.seconds,
        })
    }
}

/// Shows a piece of the answer at once.
pub(crate) fn print_piece(_row: usize, piece: &str) {
    print!("{piece}");
    // Nobody may be reading any more, which is no reason to fail.
    let _ = std::io::stdout().flush();
}
