//! What `generation_config.json` says.

use crate::weights::mapping::read_small;
use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

const OP: &str = "generation_config.json";
/// Largest file that is read.
const MAX_FILE: u64 = 1 << 20;

/// How to generate, with transformers' names and defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GenerationConfig {
    /// Whether tokens are drawn; otherwise the most likely one is taken.
    pub do_sample: bool,
    /// Logits are divided by it before drawing; above 0.
    pub temperature: f64,
    /// Draws among so many most likely tokens; 0 for all.
    pub top_k: usize,
    /// Draws among the most likely tokens that together have this probability (Holtzman et al. 2020); 1 for all.
    pub top_p: f64,
    /// Draws among tokens at least so likely as this share of the likeliest; 0 for all.
    pub min_p: f64,
    /// Divides positive and multiplies negative logits of tokens already in the row (Keskar et al. 2019); 1 for none.
    pub repetition_penalty: f64,
    /// No run of so many tokens comes twice; 0 for no such rule.
    pub no_repeat_ngram_size: usize,
    /// Most tokens of an answer.
    #[serde(deserialize_with = "or_default_length")]
    pub max_new_tokens: usize,
    /// Fewest tokens before an end is allowed.
    pub min_new_tokens: Option<usize>,
    /// Tokens that end an answer.
    #[serde(with = "ids")]
    pub eos_token_id: Vec<i64>,
    /// The token for rows that have ended; the first end token where there is none.
    pub pad_token_id: Option<i64>,
    /// Texts that end an answer and are not part of it.
    pub stop_strings: Vec<String>,
    /// The seed for drawing. Row `i` uses its own stream, so an answer does not depend on the other rows.
    pub seed: u64,
}

const DEFAULT_LENGTH: usize = 256;

impl Default for GenerationConfig {
    fn default() -> Self {
        GenerationConfig {
            do_sample: false,
            temperature: 1.0,
            top_k: 50,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            no_repeat_ngram_size: 0,
            max_new_tokens: DEFAULT_LENGTH,
            min_new_tokens: None,
            eos_token_id: Vec::new(),
            pad_token_id: None,
            stop_strings: Vec::new(),
            seed: 0,
        }
    }
}

impl GenerationConfig {
    /// Reads a model folder's `generation_config.json`; defaults if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the field that does not fit; [`ErrorKind::Io`].
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join("generation_config.json");
        if !path.exists() {
            return Ok(GenerationConfig::default());
        }
        let bytes = read_small(OP, &path, MAX_FILE)?;
        let config: GenerationConfig = serde_json::from_slice(&bytes).map_err(|e| {
            Error::new(ErrorKind::Config, OP, e.to_string()).with("file", path.display()).with_source(e)
        })?;
        config.check()?;
        Ok(config)
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the field, its value and what it may be.
    pub fn check(&self) -> Result<()> {
        let field = |name: &str, value: f64, fits: bool, expected: &str| {
            if fits {
                return Ok(());
            }
            Err(Error::new(ErrorKind::Config, "generation", format!("{name} is {value}, expected {expected}")))
        };
        let t = self.temperature;
        let hint = |e: Error| e.hint("for the most likely token use do_sample = false");
        field("temperature", t, t.is_finite() && t > 0.0, "a number above 0").map_err(hint)?;
        field("top_p", self.top_p, self.top_p > 0.0 && self.top_p <= 1.0, "a number above 0 and up to 1")?;
        field("min_p", self.min_p, (0.0..=1.0).contains(&self.min_p), "a number from 0 to 1")?;
        let r = self.repetition_penalty;
        field("repetition_penalty", r, r.is_finite() && r > 0.0, "a number above 0")?;
        field("max_new_tokens", self.max_new_tokens as f64, self.max_new_tokens > 0, "at least 1")
    }
}

fn or_default_length<'de, D: serde::Deserializer<'de>>(d: D) -> std::result::Result<usize, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or(DEFAULT_LENGTH))
}

/// End tokens are written as one id or as a list.
mod ids {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMore {
        One(i64),
        More(Vec<i64>),
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<i64>, D::Error> {
        Ok(match Option::deserialize(d)? {
            None => Vec::new(),
            Some(OneOrMore::One(id)) => vec![id],
            Some(OneOrMore::More(ids)) => ids,
        })
    }

    pub(super) fn serialize<S: Serializer>(ids: &[i64], s: S) -> Result<S::Ok, S::Error> {
        match ids {
            [one] => one.serialize(s),
            more => more.serialize(s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_end_token_or_more_are_read_and_bad_values_are_named() {
        let parse = |t: &str| serde_json::from_str::<GenerationConfig>(t).unwrap();
        assert_eq!(parse(r#"{"eos_token_id": 2, "max_new_tokens": null}"#).eos_token_id, [2]);
        assert_eq!(parse(r#"{"eos_token_id": [2, 5], "transformers_version": "4"}"#).eos_token_id, [2, 5]);
        let bad = |t: &str| parse(t).check().unwrap_err().to_string();
        assert!(bad(r#"{"temperature": 0.0}"#).contains("temperature is 0, expected a number above 0"));
        assert!(bad(r#"{"top_p": 1.5}"#).contains("top_p is 1.5"));
        assert!(bad(r#"{"max_new_tokens": 0}"#).contains("max_new_tokens is 0"));
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(GenerationConfig::load(dir.path()).unwrap(), GenerationConfig::default());
        std::fs::write(dir.path().join("generation_config.json"), r#"{"top_k": "many"}"#).unwrap();
        let e = GenerationConfig::load(dir.path()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Config, "{e}");
    }
}
