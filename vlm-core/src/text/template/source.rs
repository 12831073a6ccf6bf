//! Where templates stand in a model's folder.

use crate::weights::mapping::read_small;
use crate::{Error, ErrorKind, Result};
use serde_json::Value;
use std::path::Path;

const OP: &str = "load chat template";
/// Largest file that is read; `tokenizer_config.json` holds added tokens besides the template.
const MAX_FILE: u64 = 16 << 20;

/// The text of the folder's template.
pub(super) fn find(dir: &Path) -> Result<Option<String>> {
    let jinja = dir.join("chat_template.jinja");
    if jinja.exists() {
        let bytes = read_small(OP, &jinja, MAX_FILE)?;
        return String::from_utf8(bytes).map(Some).map_err(|_| not(&jinja, "UTF-8"));
    }
    for name in ["chat_template.json", "tokenizer_config.json", "processor_config.json"] {
        let path = dir.join(name);
        if !path.exists() {
            continue;
        }
        let bytes = read_small(OP, &path, MAX_FILE)?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|e| not(&path, &format!("JSON: {e}")))?;
        if let Some(text) = pick(&value["chat_template"]) {
            return Ok(Some(text));
        }
    }
    Ok(None)
}

fn not(path: &Path, what: &str) -> Error {
    Error::new(ErrorKind::Template, OP, format!("{} is not {what}", path.display()))
}

/// A template, or of several named ones the default.
fn pick(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(named) => {
            let default = named.iter().find(|t| t["name"] == "default").or(named.first())?;
            default["template"].as_str().map(str::to_owned)
        }
        Value::Object(named) => named.get("default").or(named.values().next())?.as_str().map(str::to_owned),
        _ => None,
    }
}

/// The template without `{% generation %}` tags, which mark what a model says: conditions that always hold.
pub(super) fn without_generation_tags(template: &str) -> String {
    replace_generation_tags(template, "if true", "endif")
}

/// The template with other block tags in the place of `{% generation %}` and `{% endgeneration %}`, their marks for white
/// space kept.
pub(super) fn replace_generation_tags(template: &str, open: &str, close: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find("{%") {
        let Some(len) = rest[start..].find("%}") else { break };
        let tag = &rest[start + 2..start + len];
        let word = tag.trim_matches(|c: char| c == '-' || c == '+' || c.is_whitespace());
        out.push_str(&rest[..start]);
        let instead = match word {
            "generation" => Some(open),
            "endgeneration" => Some(close),
            _ => None,
        };
        match instead {
            Some(word) => {
                let (left, right) =
                    (if tag.starts_with('-') { "-" } else { "" }, if tag.ends_with('-') { "-" } else { "" });
                out.push_str(&format!("{{%{left} {word} {right}%}}"));
            }
            None => out.push_str(&rest[start..start + len + 2]),
        }
        rest = &rest[start + len + 2..];
    }
    out + rest
}
