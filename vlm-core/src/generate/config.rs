//! What `generation_config.json` says.

use crate::weights::mapping::read_small;
use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::Path;

const OP: &str = "generation_config.json";
/// Largest file that is read.
const MAX_FILE: u64 = 16 << 20;
/// Settings of transformers that are not done here, and the values with which they do nothing.
const NOT_DONE: &[(&str, &[&str])] = &[
    ("bad_words_ids", &["[]"]),
    ("begin_suppress_tokens", &["[]"]),
    ("diversity_penalty", &["0", "0.0"]),
    ("encoder_repetition_penalty", &["1", "1.0"]),
    ("epsilon_cutoff", &["0", "0.0"]),
    ("eta_cutoff", &["0", "0.0"]),
    ("forced_bos_token_id", &[]),
    ("forced_eos_token_id", &[]),
    ("guidance_scale", &["1", "1.0"]),
    ("num_beams", &["1"]),
    ("penalty_alpha", &["0", "0.0"]),
    ("suppress_tokens", &["[]"]),
    ("typical_p", &["1", "1.0"]),
];

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
    pub max_new_tokens: usize,
    /// Most tokens of prompt and answer together; `None` for what the model has positions for.
    pub max_length: Option<usize>,
    /// Fewest tokens before an end is allowed.
    pub min_new_tokens: Option<usize>,
    /// Tokens that end an answer.
    #[serde(with = "ids")]
    pub eos_token_id: Vec<i64>,
    /// The token for rows that have ended; the first end token where there is none.
    pub pad_token_id: Option<i64>,
    /// Texts that end an answer and are not part of it.
    pub stop_strings: Vec<String>,
    /// Whether steps after the prompt are recorded once and done again, on devices that can ([`backend::graphs`](crate::backend::graphs)).
    /// Not a setting of transformers, hence not in files.
    #[serde(skip, default = "yes")]
    pub use_graphs: bool,
    /// The seed for drawing. Row `i` uses its own stream, so an answer does not depend on the other rows.
    pub seed: u64,
}

const DEFAULT_LENGTH: usize = 256;

fn yes() -> bool {
    true
}

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
            max_length: None,
            min_new_tokens: None,
            eos_token_id: Vec::new(),
            pad_token_id: None,
            stop_strings: Vec::new(),
            use_graphs: true,
            seed: 0,
        }
    }
}

impl GenerationConfig {
    /// How a model's folder says to generate: `generation_config.json`, with the end and pad tokens of `config.json` where
    /// it names none, as transformers has it. Defaults for what neither says.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the field that does not fit; [`ErrorKind::Io`].
    pub fn load(dir: &Path) -> Result<Self> {
        let file = dir.join("generation_config.json");
        let mut told = if file.exists() { read_object(&file)? } else { Map::new() };
        if told.get("eos_token_id").is_none_or(Value::is_null) && dir.join("config.json").exists() {
            let model = read_object(&dir.join("config.json"))?;
            for key in ["eos_token_id", "pad_token_id"] {
                let found = [model.get(key), model.get("text_config").and_then(|text| text.get(key))];
                if let Some(found) = found.into_iter().flatten().find(|v| !v.is_null()) {
                    told.insert(key.to_owned(), found.clone());
                }
            }
        }
        Self::from_json(told).map_err(|e| e.with("file", file.display()))
    }

    /// The settings of a `generation_config.json`. `max_length` alone bounds prompt and answer together; with neither it
    /// nor `max_new_tokens` answers have at most 256 tokens. A setting that asks for what is not done here (beam search) is
    /// reported as a warning.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the field that does not fit.
    pub fn from_json(mut told: Map<String, Value>) -> Result<Self> {
        // Absent and null mean the same.
        told.retain(|_, value| !value.is_null());
        if let Some(length) = told.get("max_length").filter(|_| !told.contains_key("max_new_tokens")) {
            told.insert("max_new_tokens".to_owned(), length.clone());
        }
        for (key, neutral) in NOT_DONE {
            if let Some(found) = told.get(*key).filter(|v| !neutral.contains(&v.to_string().as_str())) {
                tracing::warn!(%key, %found, "a setting of generation_config.json is not supported and has no effect");
            }
        }
        let config: GenerationConfig = serde_json::from_value(Value::Object(told))
            .map_err(|e| Error::new(ErrorKind::Config, OP, e.to_string()).with_source(e))?;
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

fn read_object(file: &Path) -> Result<Map<String, Value>> {
    let bad = |e: serde_json::Error| {
        let message = format!("not a JSON object: {e}");
        Error::new(ErrorKind::Config, OP, message).with("file", file.display()).with_source(e)
    };
    serde_json::from_slice(&read_small(OP, file, MAX_FILE)?).map_err(bad)
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
        let parse = |t: &str| GenerationConfig::from_json(serde_json::from_str(t).unwrap());
        let good = |t: &str| parse(t).unwrap();
        assert_eq!(good(r#"{"max_length": 64}"#).max_new_tokens, 64);
        assert_eq!(good(r#"{"max_length": 64, "max_new_tokens": 9}"#).max_new_tokens, 9);
        assert_eq!(good(r#"{"eos_token_id": 2, "max_new_tokens": null}"#).eos_token_id, [2]);
        assert_eq!(good(r#"{"eos_token_id": [2, 5], "transformers_version": "4"}"#).eos_token_id, [2, 5]);
        let bad = |t: &str| parse(t).unwrap_err().to_string();
        assert!(bad(r#"{"temperature": 0.0}"#).contains("temperature is 0, expected a number above 0"));
        assert!(bad(r#"{"top_p": 1.5}"#).contains("top_p is 1.5"));
        assert!(bad(r#"{"max_new_tokens": 0}"#).contains("max_new_tokens is 0"));
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(GenerationConfig::load(dir.path()).unwrap(), GenerationConfig::default());
        std::fs::write(dir.path().join("config.json"), r#"{"text_config": {"eos_token_id": [7, 8]}}"#).unwrap();
        assert_eq!(GenerationConfig::load(dir.path()).unwrap().eos_token_id, [7, 8]);
        std::fs::write(dir.path().join("generation_config.json"), r#"{"top_k": "many"}"#).unwrap();
        let e = GenerationConfig::load(dir.path()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Config, "{e}");
    }
}
