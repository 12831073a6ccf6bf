//! Where a setting comes from.

use super::value::Value;
use std::fmt;

/// The layer that set a value: later ones win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The config file.
    File {
        /// Its name as the user gave it.
        name: String,
        /// The line, from 1, where the parser tells it.
        line: Option<usize>,
    },
    /// A `key=value` on the command line.
    Override(String),
    /// A flag of the program, or the environment variable that stands for it.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File { name, line: Some(line) } => write!(f, "{name}, line {line}"),
            Source::File { name, line: None } => f.write_str(name),
            Source::Override(text) => write!(f, "override {text:?}"),
            Source::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A setting of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// Who set it.
    pub source: Source,
}

impl Entry {
    /// What a flag of the program sets.
    pub fn flag(name: &'static str, key: &str, value: Value) -> Self {
        Entry { key: key.to_owned(), value, source: Source::Flag(name) }
    }
}
