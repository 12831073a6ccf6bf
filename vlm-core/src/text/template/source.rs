//! Where templates stand in a model's folder.

use crate::weights::mapping::{is_there, read_small};
use crate::{Error, ErrorKind, Result};
use serde_json::Value;
use std::path::Path;

const OP: &str = "load chat template";
/// Largest file that is read; `tokenizer_config.json` holds added tokens besides the template.
const MAX_FILE: u64 = 16 << 20;

/// The text of the folder's template.
pub(super) fn find(dir: &Path) -> Result<Option<String>> {
    let jinja = dir.join("chat_template.jinja");
    if is_there(&jinja) {
        let bytes = read_small(OP, &jinja, MAX_FILE)?;
        return String::from_utf8(bytes).map(Some).map_err(|_| not(&jinja, "UTF-8"));
    }
    for name in ["chat_template.json", "tokenizer_config.json", "processor_config.json"] {
        let path = dir.join(name);
        if !is_there(&path) {
            continue;
        }
        let bytes = read_small(OP, &path, MAX_FILE)?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|e| not(&path, &format!("JSON: {e}")))?;
        let found = &value["chat_template"];
        match pick(found) {
            Some(text) => return Ok(Some(text)),
            None if found.is_null() => {}
            None => return Err(not(&path, "a file whose chat_template is a text, or texts by name")),
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
