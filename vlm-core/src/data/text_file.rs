//! Rows of JSON Lines files and of files that hold one JSON array, with the line on which each begins.

use crate::weights::mapping::{LoadMode, SharedBytes};
use crate::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt::Write;
use std::path::Path;

const OP: &str = "read dataset";
/// The longest row accepted, in bytes.
pub const MAX_ROW: usize = 10 << 20;
/// The most values in one row: what a parser spends memory on.
const MAX_VALUES: usize = 200_000;

/// The text of a data file.
#[derive(Debug)]
pub struct TextFile {
    bytes: SharedBytes,
    /// The text where it was not UTF-8 already.
    decoded: Option<String>,
    skip: usize,
}

/// One row: the line on which it begins (from 1) and its text, or what is wrong with it.
pub type Row<'t> = (usize, Result<&'t str, String>);

impl TextFile {
    /// Reads a file: UTF-8 with or without a byte order mark, or UTF-16 with one.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be read; [`ErrorKind::Data`] if it is empty or UTF-16 that cannot be decoded.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = SharedBytes::open(path, LoadMode::Read)?;
        let fail = |what: &str| Error::new(ErrorKind::Data, OP, format!("{}: {what}", path.display()));
        let utf16 = |to_u16: fn([u8; 2]) -> u16| {
            let (pairs, rest) = bytes[2..].as_chunks::<2>();
            let text: Result<String, _> = char::decode_utf16(pairs.iter().map(|p| to_u16(*p))).collect();
            let text = text.ok().filter(|_| rest.is_empty());
            text.ok_or_else(|| fail("the text begins as UTF-16 but is not").hint("save the file as UTF-8"))
        };
        let (decoded, skip) = match &bytes[..] {
            [] => return Err(fail("the file is empty")),
            [0xef, 0xbb, 0xbf, ..] => (None, 3),
            [0xff, 0xfe, ..] => (Some(utf16(u16::from_le_bytes)?), 0),
            [0xfe, 0xff, ..] => (Some(utf16(u16::from_be_bytes)?), 0),
            [_, 0, ..] | [0, _, ..] => {
                return Err(
                    fail("the text is no UTF-8, perhaps UTF-16 without its mark").hint("save the file as UTF-8")
                );
            }
            _ => (None, 0),
        };
        Ok(TextFile { bytes, decoded, skip })
    }

    /// SHA-256 of the file's bytes, in hexadecimal: says whether the data is the same.
    pub fn digest(&self) -> String {
        Sha256::digest(&self.bytes[..]).iter().fold(String::new(), |mut out, b| {
            let _ = write!(out, "{b:02x}");
            out
        })
    }

    fn text(&self) -> &[u8] {
        self.decoded.as_ref().map_or(&self.bytes[self.skip..], String::as_bytes)
    }

    /// The rows: elements of the array if the text begins with `[`, else lines that are not blank.
    pub fn rows(&self) -> Rows<'_> {
        let text = self.text();
        let start = text.len() - text.trim_ascii_start().len();
        let array = text.get(start) == Some(&b'[');
        let mut rows = Rows { text, at: 0, line: 1, array, done: false };
        if array {
            rows.advance(start + 1);
        }
        rows
    }
}

/// Iterator over rows, see [`TextFile::rows`].
#[derive(Debug)]
pub struct Rows<'t> {
    text: &'t [u8],
    at: usize,
    /// The line at `at`.
    line: usize,
    array: bool,
    done: bool,
}

impl<'t> Rows<'t> {
    fn advance(&mut self, to: usize) {
        self.line += self.text[self.at..to].iter().filter(|&&b| b == b'\n').count();
        self.at = to;
    }

    fn skip_space(&mut self) {
        let rest = &self.text[self.at..];
        self.advance(self.at + rest.len() - rest.trim_ascii_start().len());
    }

    fn next_line(&mut self) -> Option<Row<'t>> {
        self.skip_space();
        let rest = &self.text[self.at..];
        if rest.is_empty() {
            return None;
        }
        let len = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
        let line = self.line;
        self.advance(self.at + len);
        Some((line, checked(rest[..len].trim_ascii_end())))
    }

    fn next_element(&mut self) -> Option<Row<'t>> {
        self.skip_space();
        let line = self.line;
        let rest = &self.text[self.at..];
        let (len, values) = element(rest);
        let after = rest[len..].trim_ascii_start();
        let gap = rest.len() - len - after.len();
        match after.first() {
            Some(b']') => {
                self.done = true;
                let tail = after[1..].trim_ascii();
                self.advance(self.text.len());
                if !tail.is_empty() {
                    return Some((line, Err("text after the ']' that ends the array".to_owned())));
                }
                if len == 0 {
                    return None;
                }
            }
            Some(b',') => self.advance(self.at + len + gap + 1),
            _ => {
                self.done = true;
                return Some((
                    line,
                    Err("the array does not end with ']': the file was cut off or is damaged".to_owned()),
                ));
            }
        }
        if values > MAX_VALUES {
            return Some((line, Err(too_many())));
        }
        Some((line, checked(rest[..len].trim_ascii_end())))
    }
}

impl<'t> Iterator for Rows<'t> {
    type Item = Row<'t>;

    fn next(&mut self) -> Option<Row<'t>> {
        if self.done {
            None
        } else if self.array {
            self.next_element()
        } else {
            self.next_line()
        }
    }
}

/// The length of the JSON value that `text` begins with, up to the comma or bracket after it, and about how many values it holds.
fn element(text: &[u8]) -> (usize, usize) {
    let (mut depth, mut values) = (0usize, 0);
    let mut in_string = false;
    let mut bytes = text.iter().enumerate();
    while let Some((i, b)) = bytes.next() {
        if in_string {
            match b {
                b'\\' => drop(bytes.next()),
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match b {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                values += 1;
            }
            b']' | b'}' | b',' if depth == 0 => return (i, values),
            b']' | b'}' => depth -= 1,
            b',' | b':' => values += 1,
            _ => {}
        }
    }
    (text.len(), values)
}

fn too_many() -> String {
    format!("the row holds more than {MAX_VALUES} values")
}

/// A row within its limits, as text.
fn checked(row: &[u8]) -> Result<&str, String> {
    if row.len() > MAX_ROW {
        return Err(format!("the row has {} bytes, more than the {MAX_ROW} allowed", row.len()));
    }
    if row.len() > MAX_VALUES && element(row).1 > MAX_VALUES {
        return Err(too_many());
    }
    std::str::from_utf8(row).map_err(|e| format!("the text is not UTF-8 at byte {} of the row", e.valid_up_to()))
}

/// A text for a message, cut when long.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(80) {
        Some((end, _)) => Cow::Owned(format!("{:?}…", &text[..end])),
        None => Cow::Owned(format!("{text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(bytes: &[u8]) -> Vec<(usize, Result<String, String>)> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        std::fs::write(&path, bytes).unwrap();
        let file = TextFile::open(&path).unwrap();
        file.rows().map(|(line, row)| (line, row.map(str::to_owned))).collect()
    }

    fn good(all: &[(usize, &str)]) -> Vec<(usize, Result<String, String>)> {
        all.iter().map(|(line, row)| (*line, Ok((*row).to_owned()))).collect()
    }

    #[test]
    fn rows_keep_their_line_numbers_in_every_form() {
        let want = good(&[(1, r#"{"a":"ü"}"#), (3, r#"{"b":1}"#)]);
        let text = "{\"a\":\"ü\"}\r\n\r\n{\"b\":1}";
        let utf16 = |to: fn(u16) -> [u8; 2], mark: [u8; 2]| {
            [&mark[..], &text.encode_utf16().flat_map(to).collect::<Vec<u8>>()].concat()
        };
        for bytes in [
            text.as_bytes().to_vec(),
            format!("\u{feff}{text}\r\n").into_bytes(),
            utf16(u16::to_le_bytes, [0xff, 0xfe]),
            utf16(u16::to_be_bytes, [0xfe, 0xff]),
        ] {
            assert_eq!(rows(&bytes), want);
        }
        let array = "\n[\n {\"a\": \"x],\\\"\\\\\"},\n\n [1, {\"b\": [2]}] , 3\n]\n";
        assert_eq!(rows(array.as_bytes()), good(&[(3, r#"{"a": "x],\"\\"}"#), (5, r#"[1, {"b": [2]}]"#), (5, "3")]));
        assert_eq!(rows(b"[]"), []);
    }

    #[test]
    fn damaged_files_name_the_line() {
        for (bytes, line, want) in [
            (&b"[1,\n2"[..], 2, "cut off"),
            (b"[1}", 1, "cut off"),
            (b"[1]\nx", 1, "after the ']'"),
            (b"1\n\xff\n", 2, "not UTF-8 at byte 0"),
            (b"[\n\"\xff\"]", 2, "not UTF-8"),
        ] {
            let found = rows(bytes);
            let (at, row) = found.last().unwrap();
            assert!(*at == line && row.as_ref().is_err_and(|e| e.contains(want)), "{found:?}");
        }
        let long = format!("1\n\"{}\"\n3", "x".repeat(MAX_ROW));
        let found = rows(long.as_bytes());
        assert!(
            found[1].1.as_ref().is_err_and(|e| e.contains("more than the 10485760 allowed"))
                && found[2] == (3, Ok("3".into()))
        );
        for many in [format!("[{}1]", "1,".repeat(300_000)), format!("[[{}1]]", "1,".repeat(300_000))] {
            let found = rows(format!("{many} ").as_bytes());
            assert!(
                found.iter().any(|(_, r)| r.as_ref().is_err_and(|e| e.contains("200000 values")))
                    || found.len() > 300_000
            );
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        for (bytes, want) in [(&b""[..], "is empty"), (b"{\0\"\0", "UTF-16 without"), (b"\xff\xfe\x00\xd8", "is not")] {
            std::fs::write(&path, bytes).unwrap();
            assert!(TextFile::open(&path).unwrap_err().to_string().contains(want), "{want}");
        }
    }
}
