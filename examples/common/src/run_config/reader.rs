//! Settings by name and type.

use super::parse::OP;
use super::source::{Entry, Source};
use super::value::Value;
use std::collections::BTreeMap;
use std::fmt::Display;
use vlm_core::{Error, ErrorKind, Result};

/// The values that count, each with the layer that set it.
#[derive(Debug, Default)]
pub(super) struct Reader(BTreeMap<String, (Value, Source)>);

impl Reader {
    /// Sets a value in place of one from a layer below. Nothing ([`Value::Null`]) brings the default back.
    pub(super) fn set(&mut self, entry: Entry) {
        if entry.value == Value::Null {
            self.0.remove(&entry.key);
        } else {
            self.0.insert(entry.key, (entry.value, entry.source));
        }
    }

    /// Whether a layer set `key`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Which layer set what.
    pub(super) fn sources(&self) -> BTreeMap<String, Source> {
        self.0.iter().map(|(key, (_, source))| (key.clone(), source.clone())).collect()
    }

    /// An error about the value of `key`.
    pub(super) fn wrong(&self, key: &str, what: impl Display) -> Error {
        let place = self.0.get(key).map_or_else(String::new, |(_, source)| format!("{source}: "));
        Error::new(ErrorKind::Config, OP, format!("{place}{key} {what}"))
    }

    fn read<T>(&self, key: &str, expected: &str, read: impl FnOnce(&Value) -> Option<T>) -> Result<Option<T>> {
        let Some((value, _)) = self.0.get(key) else { return Ok(None) };
        let read = read(value).ok_or_else(|| self.wrong(key, format!("is {value}, expected {expected}")))?;
        Ok(Some(read))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<String>> {
        self.read(key, "text", |v| match v {
            Value::Text(text) if !text.is_empty() => Some(text.clone()),
            // A folder may be called 2025.
            Value::Whole(n) => Some(n.to_string()),
            _ => None,
        })
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.read(key, "true or false", |v| match v {
            Value::Flag(flag) => Some(*flag),
            // Python writes them like this.
            Value::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Value::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        })
    }

    pub(super) fn whole(&self, key: &str, expected: &str) -> Result<Option<i64>> {
        self.read(key, expected, |v| match v {
            Value::Whole(n) => Some(*n),
            Value::Number(x) if x.fract() == 0.0 && x.abs() < 9e15 => Some(*x as i64),
            _ => None,
        })
    }

    /// A whole number from 0.
    pub(super) fn count(&self, key: &str) -> Result<Option<usize>> {
        const EXPECTED: &str = "a whole number that is not negative";
        match self.whole(key, EXPECTED)? {
            None => Ok(None),
            Some(n) => match usize::try_from(n) {
                Ok(n) => Ok(Some(n)),
                Err(_) => Err(self.wrong(key, format!("is {n}, expected {EXPECTED}"))),
            },
        }
    }

    /// A whole number from 1.
    pub(super) fn positive(&self, key: &str) -> Result<Option<usize>> {
        let found = self.count(key)?;
        if found == Some(0) {
            return Err(self.wrong(key, "is 0, expected at least 1"));
        }
        Ok(found)
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<f64>> {
        self.read(key, "a number", |v| match v {
            Value::Whole(n) => Some(*n as f64),
            Value::Number(x) => Some(*x),
            // Python's YAML takes 1e-4 for text, so people quote it.
            Value::Text(text) if text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => {
                text.parse().ok()
            }
            _ => None,
        })
    }

    /// Names: a list, or text with commas between them.
    pub(super) fn names(&self, key: &str) -> Result<Option<Vec<String>>> {
        let list = self.read(key, "text, or a list of texts", |v| match v {
            Value::Text(text) => Some(text.split(',').map(|t| t.trim().to_owned()).collect::<Vec<_>>()),
            Value::List(list) => texts(list),
            Value::Whole(n) => Some(vec![n.to_string()]),
            _ => None,
        })?;
        if list.iter().any(|l| l.is_empty() || l.iter().any(String::is_empty)) {
            return Err(self.wrong(key, "has an empty name").hint("leave it out, or write nothing after the colon"));
        }
        Ok(list)
    }

    /// Text, or a list as it is: `Ok` for text, `Err` for a list.
    pub(super) fn text_or_list(&self, key: &str) -> Result<Option<std::result::Result<String, Vec<String>>>> {
        self.read(key, "text, or a list of texts", |v| match v {
            Value::Text(text) => Some(Ok(text.clone())),
            Value::List(list) => texts(list).map(Err),
            _ => None,
        })
    }

    /// One of a few words. `None` and false, which YAML makes of an unquoted `no`, are the word `no`.
    pub(super) fn word<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Result<Option<T>> {
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        self.read(key, &format!("one of {}", all.join(", ")), |v| {
            let found = match v {
                Value::Flag(false) => "no".to_owned(),
                Value::Text(text) => text.to_ascii_lowercase(),
                _ => return None,
            };
            words.iter().find(|(word, _)| *word == found).map(|(_, value)| *value)
        })
    }

    /// True or text.
    pub(super) fn flag_or_text(&self, key: &str) -> Result<Option<std::result::Result<bool, String>>> {
        self.read(key, "true, false or a path", |v| match v {
            Value::Flag(flag) => Some(Ok(*flag)),
            Value::Text(text) if text.eq_ignore_ascii_case("true") => Some(Ok(true)),
            Value::Text(text) if text.eq_ignore_ascii_case("false") => Some(Ok(false)),
            Value::Text(text) if !text.is_empty() => Some(Err(text.clone())),
            _ => None,
        })
    }
}

fn texts(list: &[Value]) -> Option<Vec<String>> {
    let text = |v: &Value| match v {
        Value::Text(text) => Some(text.clone()),
        Value::Whole(n) => Some(n.to_string()),
        _ => None,
    };
    list.iter().map(text).collect()
}
