//! `tojson` as transformers has it: Python's `json.dumps`, nothing escaped for HTML, other letters kept.

use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind};
use serde_json::Value as Json;

pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("tojson", tojson);
}

fn tojson(value: &Value, ascii: Option<Value>, indent: Option<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    // In the order that they may be given without a name.
    let ascii = kwargs.get::<Option<Value>>("ensure_ascii")?.or(ascii).is_some_and(|v| v.is_true());
    let indent = kwargs.get::<Option<Value>>("indent")?.or(indent).filter(|v| !v.is_none());
    let sort = kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    let separators = kwargs.get::<Option<Vec<String>>>("separators")?;
    kwargs.assert_all_used()?;
    let indent = match indent {
        None => None,
        Some(n) => Some(usize::try_from(n).map_err(|_| wrong("indent is a number of spaces"))?),
    };
    let (item, key) = match separators.as_deref() {
        Some([item, key]) => (item.clone(), key.clone()),
        Some(_) => return Err(wrong("separators are two texts")),
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
    };
    if value.is_undefined() {
        return Err(wrong("the value is undefined"));
    }
    let json = serde_json::to_value(value)
        .map_err(|e| Error::new(ErrorKind::BadSerialization, "tojson: no JSON for this value").with_source(e))?;
    let mut writer = Writer { out: String::new(), indent, ascii, sort, item, key };
    writer.value(&json, 0);
    Ok(Value::from_safe_string(writer.out))
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("tojson: {what}"))
}

/// A number as Python prints it: the fewest digits that give it back, with an exponent below 1e-4 and from 1e16 on.
fn float(x: f64) -> String {
    let scientific = format!("{x:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(e) if !(-4..16).contains(&e) => format!("{digits}e{}{:02}", if e < 0 { '-' } else { '+' }, e.abs()),
        _ => format!("{x:?}"),
    }
}

struct Writer {
    out: String,
    indent: Option<usize>,
    ascii: bool,
    sort: bool,
    item: String,
    key: String,
}

impl Writer {
    fn value(&mut self, value: &Json, depth: usize) {
        match value {
            Json::String(text) => self.text(text),
            Json::Array(items) => {
                self.list('[', ']', items.len(), depth, |w, i| w.value(&items[i], depth + 1));
            }
            Json::Object(map) => {
                let mut pairs: Vec<_> = map.iter().collect();
                if self.sort {
                    pairs.sort_by_key(|(k, _)| k.as_str());
                }
                self.list('{', '}', pairs.len(), depth, |w, i| {
                    w.text(pairs[i].0);
                    let key = w.key.clone();
                    w.out.push_str(&key);
                    w.value(pairs[i].1, depth + 1);
                });
            }
            Json::Number(n) if n.is_f64() => self.out.push_str(&float(n.as_f64().unwrap_or_default())),
            other => self.out.push_str(&other.to_string()),
        }
    }

    fn list(&mut self, open: char, close: char, n: usize, depth: usize, mut each: impl FnMut(&mut Self, usize)) {
        self.out.push(open);
        for i in 0..n {
            if i > 0 {
                let item = self.item.clone();
                self.out.push_str(&item);
            }
            self.line(depth + 1);
            each(self, i);
        }
        if n > 0 {
            self.line(depth);
        }
        self.out.push(close);
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if c < ' ' || (self.ascii && !c.is_ascii()) => {
                    c.encode_utf16(&mut [0; 2]).iter().for_each(|u| self.out.push_str(&format!("\\u{u:04x}")));
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}
