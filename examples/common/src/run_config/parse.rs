//! Config files and `key=value` as entries.

use super::source::{Entry, Source};
use super::value::{Pairs, Value};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};
use std::io::Read;
use std::path::Path;
use vlm_core::{Error, ErrorKind, Result};

pub(super) const OP: &str = "config";
/// Largest config file that is read: real ones have a few kilobytes.
const MAX_FILE: u64 = 1 << 20;
/// Most values that anchors and aliases of a YAML file may repeat.
const MAX_REPEATED: usize = 10_000;

/// The entries of a config file, in its order.
///
/// # Errors
/// [`ErrorKind::Io`] if it cannot be read; [`ErrorKind::Config`] for an unknown ending and, with the line, for what is no
/// YAML or TOML, a key given twice or more than a config file may ask for.
pub(super) fn file(path: &Path) -> Result<Vec<Entry>> {
    let name = path.display().to_string();
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let parse = match ending.as_str() {
        "yaml" | "yml" => yaml_file,
        "toml" => toml_file,
        _ => {
            let message = format!("{name} is neither YAML nor TOML by its ending");
            return Err(Error::new(ErrorKind::Config, OP, message).hint("name it .yaml, .yml or .toml"));
        }
    };
    let text = read(path)?;
    let wrong = |(line, what): (Option<usize>, String)| {
        let source = Source::File { name: name.clone(), line };
        Error::new(ErrorKind::Config, OP, format!("{source}: {what}"))
    };
    let pairs = parse(&text).map_err(wrong)?;
    let entry = |(key, value, line)| Entry { key, value, source: Source::File { name: name.clone(), line } };
    Ok(pairs.into_iter().map(entry).collect())
}

fn read(path: &Path) -> Result<String> {
    let fail = |e| Error::io(OP, path, e);
    let file = std::fs::File::open(path).map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_FILE {
        let message = format!("{} has more than {MAX_FILE} bytes, which no config file needs", path.display());
        return Err(Error::new(ErrorKind::Config, OP, message));
    }
    String::from_utf8(bytes).map_err(|e| {
        let message = format!("{} is not UTF-8", path.display());
        Error::new(ErrorKind::Config, OP, message).with_source(e).hint("save it as UTF-8")
    })
}

/// An override `key=value`, its value written as in YAML; nothing after the `=` stands for the default.
///
/// # Errors
/// [`ErrorKind::Config`] if there is no key or no `=`, or for a value that is no YAML.
pub(super) fn over(text: &str) -> Result<Entry> {
    let source = Source::Override(text.to_owned());
    let wrong = |what: &str| {
        let error = Error::new(ErrorKind::Config, OP, format!("{source}: {what}"));
        error.hint("write key=value, as in learning_rate=1e-4 or lora_target=q_proj,v_proj")
    };
    let (key, value) = text.split_once('=').ok_or_else(|| wrong("there is no ="))?;
    if !is_key(key) {
        return Err(wrong("there is no key before the ="));
    }
    let value = yaml(value).map_err(|(_, what)| wrong(&format!("the value is no YAML: {what}")))?;
    Ok(Entry { key: key.to_owned(), value, source })
}

/// Whether this can be the name of a setting.
pub(super) fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// What is wrong, and on which line.
type Wrong = (Option<usize>, String);
type Placed = (String, Value, Option<usize>);

fn yaml_file(text: &str) -> Result<Vec<Placed>, Wrong> {
    let Pairs::<serde_saphyr::Spanned<Value>>(pairs) = yaml(text)?;
    let line = |place: serde_saphyr::Location| usize::try_from(place.line()).ok().filter(|l| *l > 0);
    Ok(pairs.into_iter().map(|(key, v)| (key, v.value, line(v.referenced))).collect())
}

/// The only place that knows the YAML library. Anchors, aliases, depth and the number of values are bounded; a key given
/// twice is an error, and so is a merge key: a config file is flat.
fn yaml<'t, T: serde::Deserialize<'t>>(text: &'t str) -> Result<T, Wrong> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 10 * MAX_REPEATED,
            max_aliases: 100,
            max_anchors: 100,
            max_recorded_anchor_events: MAX_REPEATED,
            max_depth: 16,
            max_documents: 2,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_REPEATED,
            max_replay_stack_depth: 16,
            max_alias_expansions_per_anchor: 100,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        // Where a setting is NaN the error shall name the setting.
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|e| {
        let line = e.location().and_then(|place| usize::try_from(place.line()).ok()).filter(|l| *l > 0);
        (line, one_line(&e.to_string()))
    })
}

fn toml_file(text: &str) -> Result<Vec<Placed>, Wrong> {
    let line = |at: usize| 1 + text.bytes().take(at).filter(|b| *b == b'\n').count();
    let Pairs::<toml::Spanned<Value>>(pairs) =
        toml::from_str(text).map_err(|e| (e.span().map(|s| line(s.start)), one_line(e.message())))?;
    let place = |(key, v): (String, toml::Spanned<Value>)| {
        let at = line(v.span().start);
        (key, v.into_inner(), Some(at))
    };
    Ok(pairs.into_iter().map(place).collect())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
