//! The tokens with a role.

use crate::{Error, ErrorKind, Result};
use serde_json::Value;

/// Tokens with a role, as texts (`"</s>"`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Begins a text.
    pub bos: Option<String>,
    /// Ends an answer.
    pub eos: Option<String>,
    /// Fills rows of a batch.
    pub pad: Option<String>,
    /// Stands for what the vocabulary lacks.
    pub unk: Option<String>,
    /// Further ones by name, as `tokenizer_config.json` gives them (`"image_token"`, `"<image>"`).
    pub named: Vec<(String, String)>,
}

impl SpecialTokens {
    /// Reads the roles from `tokenizer_config.json`; those it lacks from `special_tokens_map.json`.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] naming a role whose token is not a text.
    pub fn from_config(config: &Value, map: &Value) -> Result<Self> {
        let find = |name: &str| -> Result<Option<String>> {
            match token_text(name, &config[name])? {
                Some(text) => Ok(Some(text)),
                None => token_text(name, &map[name]),
            }
        };
        let mut named = Vec::new();
        let listed = config.as_object().into_iter().flatten().chain(map.as_object().into_iter().flatten());
        let extra = config["extra_special_tokens"].as_object().into_iter().flatten();
        for (name, value) in listed.filter(|(n, _)| n.ends_with("_token")).chain(extra) {
            let role = matches!(name.as_str(), "bos_token" | "eos_token" | "pad_token" | "unk_token");
            if role || named.iter().any(|(n, _)| n == name) {
                continue;
            }
            if let Some(text) = value.as_str().or_else(|| value["content"].as_str()) {
                named.push((name.clone(), text.to_owned()));
            }
        }
        Ok(SpecialTokens {
            bos: find("bos_token")?,
            eos: find("eos_token")?,
            pad: find("pad_token")?,
            unk: find("unk_token")?,
            named,
        })
    }

    /// Name and text of every one that is set, under transformers' names (`"bos_token"`).
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let roles =
            [("bos_token", &self.bos), ("eos_token", &self.eos), ("pad_token", &self.pad), ("unk_token", &self.unk)];
        let roles = roles.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?)));
        roles.chain(self.named.iter().map(|(name, text)| (name.as_str(), text.as_str())))
    }
}

/// A token is written as its text or as an object with `content`.
fn token_text(name: &str, value: &Value) -> Result<Option<String>> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Object(token) if token.get("content").is_some_and(Value::is_string) => {
            Ok(token["content"].as_str().map(str::to_owned))
        }
        other => Err(Error::new(ErrorKind::Tokenizer, "tokenizer_config.json", format!("{name} is {other}"))
            .with("expected", "a text, or an object with a text as content")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn roles_come_from_the_config_then_from_the_map() {
        let config = json!({
            "bos_token": {"content": "<s>", "lstrip": false}, "eos_token": null, "image_token": "<image>",
            "extra_special_tokens": {"video_token": "<video>"},
        });
        let map = json!({"eos_token": "</s>", "bos_token": "other", "image_token": "other"});
        let t = SpecialTokens::from_config(&config, &map).unwrap();
        assert_eq!((t.bos.as_deref(), t.eos.as_deref(), t.pad), (Some("<s>"), Some("</s>"), None));
        assert_eq!(
            t.named,
            [("image_token", "<image>"), ("video_token", "<video>")].map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
        let e = SpecialTokens::from_config(&json!({"pad_token": 3}), &Value::Null).unwrap_err();
        assert!(e.to_string().contains("pad_token is 3"), "{e}");
    }
}
