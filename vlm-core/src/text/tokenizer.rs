//! Texts to token ids and back.

use super::SpecialTokens;
use super::guard::guarded;
use crate::weights::atomic::write_atomic;
use crate::weights::mapping::{is_there, read_small};
use crate::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// Largest `tokenizer.json` that is read; the largest known are near 40 MiB.
const MAX_FILE: u64 = 256 << 20;

/// A tokenizer as `tokenizer.json` and `tokenizer_config.json` describe it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
    special: SpecialTokens,
    config: Arc<Value>,
}

impl Tokenizer {
    /// Reads `tokenizer.json` of a model's folder, with `tokenizer_config.json` and `special_tokens_map.json` if there.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] for a missing file, [`ErrorKind::Tokenizer`] for one that is not a tokenizer.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join("tokenizer.json");
        let bytes = read_small("load tokenizer", &path, MAX_FILE).map_err(|e| match is_there(&path) {
            true => e,
            false => e.hint("save it with transformers: AutoTokenizer.from_pretrained(MODEL).save_pretrained(FOLDER)"),
        })?;
        let optional = |name: &str| -> Result<Value> {
            let path = dir.join(name);
            if !is_there(&path) {
                return Ok(Value::Null);
            }
            let bytes = read_small("load tokenizer", &path, MAX_FILE)?;
            serde_json::from_slice(&bytes).map_err(|e| {
                Error::new(ErrorKind::Tokenizer, "load tokenizer", format!("{} is not JSON: {e}", path.display()))
            })
        };
        let (config, map) = (optional("tokenizer_config.json")?, optional("special_tokens_map.json")?);
        Self::from_bytes(&bytes, config, &map).map_err(|e| e.with("folder", dir.display()))
    }

    /// A tokenizer from the bytes of `tokenizer.json` and the other two files, `null` where there are none.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] for bytes that are not a tokenizer, a special token that it does not know, an added token
    /// that gets another id than the file gives it, or two tokens with one id.
    pub fn from_bytes(bytes: &[u8], config: Value, map: &Value) -> Result<Self> {
        let inner = guarded("tokenizer.json", || tokenizers::Tokenizer::from_bytes(bytes))?;
        check_ids(bytes, &inner)?;
        let special = SpecialTokens::from_config(&config, map)?;
        Self::new(inner, special, config)
    }

    pub(super) fn new(mut inner: tokenizers::Tokenizer, special: SpecialTokens, config: Value) -> Result<Self> {
        // What a file says of padding and cutting is for training in Python; rows are padded where batches are made.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| Error::new(ErrorKind::Tokenizer, "tokenizer.json", e.to_string()))?;
        for (name, text) in [("bos_token", &special.bos), ("eos_token", &special.eos), ("pad_token", &special.pad)] {
            if let Some(text) = text.as_ref().filter(|t| inner.token_to_id(t).is_none()) {
                return Err(Error::new(
                    ErrorKind::Tokenizer,
                    "tokenizer_config.json",
                    format!("{name} {text:?} is not in the vocabulary"),
                )
                .hint("tokenizer.json and tokenizer_config.json belong to different models"));
            }
        }
        Ok(Tokenizer { inner: Arc::new(inner), special, config: Arc::new(config) })
    }

    /// The ids of `text`. Special tokens inside it count as such; with `add_special` the tokenizer adds what it puts
    /// around every text (`<s>`).
    ///
    /// A file's rule for cutting texts into words may be a regular expression that goes back and forth. It is stopped after
    /// a million steps in one piece of text, whose rest then stays one word: a bound of time, not an error.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] if the tokenizer refuses the text.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>> {
        Ok(guarded("encode", || self.inner.encode_fast(text, add_special))?.get_ids().to_vec())
    }

    /// The text of `ids`, special tokens left out on request. Ids beyond the vocabulary have no text: models pad their
    /// embeddings to round numbers and may name such an id.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] if the tokenizer refuses the ids.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        guarded("decode", || self.inner.decode(ids, skip_special))
    }

    /// One more than the largest id: the rows that an embedding needs at least.
    pub fn vocab_size(&self) -> usize {
        let last = self.inner.get_vocab(true).into_values().max();
        last.map_or(0, |id| id as usize + 1)
    }

    /// The id of a token.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token of an id, as the vocabulary spells it.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The tokens with a role.
    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.special
    }

    /// `tokenizer_config.json`; `null` where there was none.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// The id that begins a text.
    pub fn bos_id(&self) -> Option<u32> {
        self.token_to_id(self.special.bos.as_deref()?)
    }

    /// The id that ends an answer.
    pub fn eos_id(&self) -> Option<u32> {
        self.token_to_id(self.special.eos.as_deref()?)
    }

    /// The id that fills rows of a batch.
    pub fn pad_id(&self) -> Option<u32> {
        self.token_to_id(self.special.pad.as_deref()?)
    }

    /// Writes `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json`, for transformers to read.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the folder cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let op = "save tokenizer";
        let whole = guarded(op, || self.inner.to_string(true))?;
        write_atomic(op, &dir.join("tokenizer.json"), whole.as_bytes())?;
        let roles: serde_json::Map<String, Value> =
            self.special.iter().map(|(name, text)| (name.to_owned(), Value::from(text))).collect();
        let mut config = match &*self.config {
            Value::Object(held) => held.clone(),
            _ => serde_json::Map::from_iter([("tokenizer_class".to_owned(), json!("PreTrainedTokenizerFast"))]),
        };
        for (name, text) in &roles {
            config.entry(name.clone()).or_insert_with(|| text.clone());
        }
        let pretty = |map: serde_json::Map<String, Value>| format!("{:#}\n", Value::Object(map));
        write_atomic(op, &dir.join("tokenizer_config.json"), pretty(config).as_bytes())?;
        write_atomic(op, &dir.join("special_tokens_map.json"), pretty(roles).as_bytes())
    }
}

/// Refuses a file whose tokens would get other ids than it gives them: the library counts on from its vocabulary, and the
/// model was trained with the ids of the file.
fn check_ids(bytes: &[u8], inner: &tokenizers::Tokenizer) -> Result<()> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        added_tokens: Vec<Added>,
    }
    #[derive(Deserialize)]
    struct Added {
        id: u64,
        content: String,
    }
    let bad = |message: String| {
        let error = Error::new(ErrorKind::Tokenizer, "tokenizer.json", message);
        Err(error.hint("the tokenizer file contradicts itself; export it again with transformers"))
    };
    let file: File = match serde_json::from_slice(bytes) {
        Ok(file) => file,
        Err(e) => return bad(format!("added_tokens: {e}")),
    };
    // A token of no text is never found in one and gets no id.
    for Added { id, content } in file.added_tokens.iter().filter(|a| !a.content.is_empty()) {
        match inner.token_to_id(content) {
            Some(found) if u64::from(found) == *id => {}
            Some(found) => {
                return bad(format!(
                    "the added token {content:?} has id {id}, but its place among the others is {found}"
                ));
            }
            None => return bad(format!("the added token {content:?} with id {id} is not in the vocabulary")),
        }
    }
    let (listed, distinct) = (inner.get_vocab_size(false), inner.get_vocab(false).len());
    if listed != distinct {
        return bad(format!("the vocabulary lists {listed} tokens, but only {distinct} different ones"));
    }
    let vocabulary = inner.get_vocab(true);
    let mut ids: Vec<(u32, &String)> = vocabulary.iter().map(|(token, id)| (*id, token)).collect();
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some([(id, one), (_, other)]) => bad(format!("the tokens {one:?} and {other:?} have the same id, {id}")),
        _ => Ok(()),
    }
}
