//! Texts and pictures for models that compare them.

use super::Pictures;
use crate::models::auto::parse;
use crate::models::clip::ClipConfig;
use crate::models::read_config;
use crate::models::siglip::SiglipConfig;
use crate::text::Tokenizer;
use crate::vision::{ImageProcessor, NaflexProcessor, Picture};
use crate::{Error, ErrorKind, Result};
use serde_json::Value;
use std::path::Path;

/// Texts as tokens of one length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// `[texts][tokens]`.
    pub input_ids: Vec<Vec<i64>>,
    /// `[texts][tokens]`: false for padding.
    pub attention_mask: Vec<Vec<bool>>,
}

#[derive(Debug)]
enum PictureRules {
    Plain(ImageProcessor),
    Naflex(NaflexProcessor),
}

/// Tokenizer and picture rules of a CLIP or SigLIP folder.
#[derive(Debug)]
pub struct DualProcessor {
    tokenizer: Tokenizer,
    pictures: PictureRules,
    /// Most tokens of a text.
    max_length: usize,
    /// Whether all texts are filled up to it (SigLIP), or only to the longest of them.
    to_max: bool,
}

/// Whether texts are always filled up, and the most tokens of one: checked as the model does, for it is what is filled.
fn lengths(config: &Value) -> Result<(bool, usize)> {
    match config["model_type"].as_str() {
        Some("clip") => {
            let config: ClipConfig = parse(config)?;
            config.check()?;
            Ok((false, config.text_config.max_position_embeddings))
        }
        Some("siglip" | "siglip2") => {
            let config: SiglipConfig = parse(config)?;
            config.check()?;
            Ok((true, config.text_config.max_position_embeddings))
        }
        other => {
            let message = format!("model_type is {other:?}, expected clip, siglip or siglip2");
            Err(Error::new(ErrorKind::Config, "config.json", message))
        }
    }
}

impl DualProcessor {
    /// The processor of a model's folder.
    ///
    /// # Errors
    /// Those of the tokenizer and the picture settings; [`ErrorKind::Config`] for another `model_type`.
    pub fn load(dir: &Path) -> Result<Self> {
        let config = read_config(dir)?;
        let (to_max, positions) = lengths(&config).map_err(|e| e.with("folder", dir.display()))?;
        let whole = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
        let tokenizer = Tokenizer::load(dir)?;
        let stated = whole(&tokenizer.config()["model_max_length"]).unwrap_or(positions);
        Ok(DualProcessor {
            pictures: if config["model_type"] == "siglip2" {
                PictureRules::Naflex(NaflexProcessor::load(dir)?)
            } else {
                PictureRules::Plain(ImageProcessor::load(dir)?)
            },
            max_length: stated.min(positions).max(2),
            to_max,
            tokenizer,
        })
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Texts as tokens. One that is too long is cut, its end token kept.
    ///
    /// # Errors
    /// Those of the tokenizer; [`ErrorKind::Data`] if there is no text.
    pub fn texts<T: AsRef<str>>(&self, texts: &[T]) -> Result<Texts> {
        if texts.is_empty() {
            return Err(Error::new(ErrorKind::Data, "texts", "there is no text"));
        }
        let mut rows = Vec::with_capacity(texts.len());
        for text in texts {
            let mut ids: Vec<i64> = self.tokenizer.encode(text.as_ref(), true)?.into_iter().map(i64::from).collect();
            if ids.len() > self.max_length {
                let last = ids[ids.len() - 1];
                ids.truncate(self.max_length);
                if Some(last) == self.tokenizer.eos_id().map(i64::from) {
                    ids[self.max_length - 1] = last;
                }
            }
            rows.push(ids);
        }
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        let length = if self.to_max { self.max_length } else { longest };
        let pad = self.tokenizer.pad_id().or(self.tokenizer.eos_id()).map_or(0, i64::from);
        let attention_mask = rows.iter().map(|row| (0..length).map(|i| i < row.len()).collect()).collect();
        rows.iter_mut().for_each(|row| row.resize(length, pad));
        Ok(Texts { input_ids: rows, attention_mask })
    }

    /// Pictures as numbers.
    ///
    /// # Errors
    /// Those of the family's picture processor.
    pub fn pictures(&self, pictures: &[Picture]) -> Result<Pictures> {
        match &self.pictures {
            PictureRules::Plain(rules) => {
                let values = rules.process(pictures)?;
                Ok(Pictures { data: values.data, shape: values.shape.to_vec(), ..Pictures::default() })
            }
            PictureRules::Naflex(rules) => {
                let patches = rules.process(pictures)?;
                Ok(Pictures {
                    data: patches.data,
                    shape: patches.shape.to_vec(),
                    grid: patches.grid,
                    ..Pictures::default()
                })
            }
        }
    }
}
