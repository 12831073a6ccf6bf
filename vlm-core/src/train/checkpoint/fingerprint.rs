//! Is this the same run? Comparing the settings that a checkpoint was made with and those of the run that would continue it.

use crate::{Error, ErrorKind, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// One setting that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Dotted key: `"data.digest"`.
    pub key: String,
    /// The checkpoint's value, `None` if it has no such key.
    pub saved: Option<String>,
    /// This run's value, `None` if it has no such key.
    pub current: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |v: &Option<String>| v.clone().unwrap_or_else(|| "(absent)".to_owned());
        write!(f, "{}: {} in the checkpoint, {} now", self.key, show(&self.saved), show(&self.current))
    }
}

/// The keys whose values differ, sorted. Objects are compared key by key, everything else as a whole.
pub fn differences(saved: &Value, current: &Value) -> Vec<Difference> {
    let (mut a, mut b) = (BTreeMap::new(), BTreeMap::new());
    flatten("", saved, &mut a);
    flatten("", current, &mut b);
    let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let differ = keys.into_iter().filter(|k| a.get(*k) != b.get(*k));
    differ
        .map(|k| Difference { key: k.clone(), saved: a.get(k).map(|v| show(v)), current: b.get(k).map(|v| show(v)) })
        .collect()
}

/// Refuses to continue a checkpoint with settings (model, data, seed, batch size …) other than its own.
///
/// # Errors
/// [`ErrorKind::Config`] listing every key that differs with both values (the first 12; the rest are counted).
pub fn check_same_run(saved: &Value, current: &Value) -> Result<()> {
    let all = differences(saved, current);
    if all.is_empty() {
        return Ok(());
    }
    let mut text: Vec<String> = all.iter().take(12).map(Difference::to_string).collect();
    if all.len() > 12 {
        text.push(format!("and {} more", all.len() - 12));
    }
    let message = format!("the checkpoint was made with other settings: {}", text.join("; "));
    Err(Error::new(ErrorKind::Config, "resume", message)
        .hint("continue with the settings of the checkpoint, or start anew in another output folder"))
}

fn flatten<'v>(prefix: &str, value: &'v Value, out: &mut BTreeMap<String, &'v Value>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&key, value, out);
            }
        }
        other => drop(out.insert(prefix.to_owned(), other)),
    }
}

fn show(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_differing_key_is_listed_with_both_values() {
        let saved = json!({ "model": { "layers": 2, "width": 8 }, "seed": 1, "data": "abc", "old": null });
        check_same_run(&saved, &saved.clone()).unwrap();
        let now = json!({ "seed": 2, "model": { "width": 8, "layers": 3 }, "data": "abc", "new": "x".repeat(200) });
        let keys: Vec<String> = differences(&saved, &now).into_iter().map(|d| d.key).collect();
        assert_eq!(keys, ["model.layers", "new", "old", "seed"]);
        let e = check_same_run(&saved, &now).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Config);
        assert!(e.to_string().contains("model.layers: 2 in the checkpoint, 3 now"), "{e}");
        assert!(
            e.to_string().contains("old: null in the checkpoint, (absent) now") && e.to_string().len() < 700,
            "{e}"
        );
        let many: Value = (0..50).map(|i| (i.to_string(), json!(i))).collect::<serde_json::Map<_, _>>().into();
        assert!(check_same_run(&many, &json!(1)).unwrap_err().to_string().contains("and 39 more"));
    }
}
