//! One row of a data file: LLaVA, ShareGPT, messages, OpenAI and Alpaca style.

use super::alpaca::AlpacaColumns;
use super::base64;
use super::sample::{IMAGE_PLACEHOLDER, ImageRef, Message, Part, Role, Sample};
use super::text_file::shown;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Names of the columns and tags of a data file; LLaMA-Factory's `dataset_info.json` has the same settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Column with the list of messages.
    pub messages: String,
    /// Columns of one question and one answer, instead of the list.
    pub alpaca: Option<AlpacaColumns>,
    /// Columns with a picture's path or a list of them; the first one present counts.
    pub images: Vec<String>,
    /// Column with the system message, besides one in the list.
    pub system: String,
    /// Column with the row's id.
    pub id: String,
    /// Key of a message with who says it.
    pub role_tag: String,
    /// Key of a message with what is said.
    pub content_tag: String,
    /// Values of the role key for the user.
    pub user_tags: Vec<String>,
    /// Values of the role key for the assistant.
    pub assistant_tags: Vec<String>,
    /// Values of the role key for the system message.
    pub system_tags: Vec<String>,
    /// Values of the role key for the result of a tool.
    pub tool_tags: Vec<String>,
}

impl Columns {
    /// `{"conversations": [{"from": "human", "value": "<image>\n…"}, {"from": "gpt", …}], "image": …}`: LLaVA's and ShareGPT's rows.
    pub fn sharegpt() -> Self {
        Columns {
            messages: "conversations".into(),
            role_tag: "from".into(),
            content_tag: "value".into(),
            ..Self::messages()
        }
    }

    /// `{"messages": [{"role": "user", "content": "<image>…" or a list of parts}, …], "images": […]}`: also OpenAI's rows.
    pub fn messages() -> Self {
        let all = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        Columns {
            messages: "messages".into(),
            alpaca: None,
            images: all(&["images", "image"]),
            system: "system".into(),
            id: "id".into(),
            role_tag: "role".into(),
            content_tag: "content".into(),
            user_tags: all(&["user", "human"]),
            assistant_tags: all(&["assistant", "gpt", "model"]),
            system_tags: all(&["system", "developer"]),
            tool_tags: all(&["tool", "observation", "function"]),
        }
    }

    /// `{"instruction": …, "input": …, "output": …, "images": […]}`: Alpaca's rows.
    pub fn alpaca(columns: AlpacaColumns) -> Self {
        Columns { alpaca: Some(columns), ..Self::messages() }
    }

    /// The columns that a row of these keys has.
    pub(super) fn detect<'k>(keys: impl Iterator<Item = &'k str>) -> Result<Self, String> {
        let keys: Vec<&str> = keys.take(20).collect();
        // Lists first: a row of messages may have a "response" of another kind.
        for key in ["conversations", "messages", "instruction", "response"] {
            match (keys.contains(&key), key) {
                (false, _) => {}
                (_, "conversations") => return Ok(Self::sharegpt()),
                (_, "messages") => return Ok(Self::messages()),
                (_, "instruction") => return Ok(Self::alpaca(AlpacaColumns::alpaca())),
                (_, _) => return Ok(Self::alpaca(AlpacaColumns::query_response())),
            }
        }
        let found: Vec<_> = keys.into_iter().map(shown).collect();
        let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
        Err(format!(
            "the row has none of \"conversations\", \"messages\", \"instruction\", \"response\" (its keys: {found}); name the \
             columns in Columns"
        ))
    }

    fn role(&self, name: &str) -> Option<Role> {
        let is = |tags: &[String]| tags.iter().any(|t| t == name);
        [
            (Role::User, &self.user_tags),
            (Role::Assistant, &self.assistant_tags),
            (Role::System, &self.system_tags),
            (Role::Tool, &self.tool_tags),
        ]
        .into_iter()
        .find_map(|(role, tags)| is(tags).then_some(role))
    }
}

/// Where pictures may come from.
#[derive(Clone, Debug)]
pub struct ImageRoot {
    /// The folder that paths are relative to, canonical.
    pub(super) dir: PathBuf,
    /// Whether files outside of it may be used.
    pub(super) allow_outside: bool,
}

impl ImageRoot {
    /// A picture named by a path, a `data:` address or a `file://` address.
    pub(super) fn find(&self, name: &str) -> Result<ImageRef, String> {
        if let Some(data) = name.strip_prefix("data:") {
            let (kind, body) = data.split_once(',').ok_or("a data: address without a comma")?;
            if !kind.ends_with(";base64") {
                return Err(format!("a data: address of kind {}, expected base64", shown(kind)));
            }
            let bytes = base64::decode(body)?;
            return if bytes.is_empty() {
                Err("a data: address without content".into())
            } else {
                Ok(ImageRef::Bytes(bytes.into()))
            };
        }
        if name.starts_with("http://") || name.starts_with("https://") {
            return Err(format!("{} is a web address: download the picture and give its path", shown(name)));
        }
        let path = Path::new(name.strip_prefix("file://").unwrap_or(name));
        if name.is_empty() || name.contains('\0') {
            return Err("a picture without a path".into());
        }
        let full = self.dir.join(path);
        let real =
            full.canonicalize().map_err(|e| format!("picture {}: {e} (looked for {})", shown(name), full.display()))?;
        if !self.allow_outside && !real.starts_with(&self.dir) {
            return Err(format!(
                "picture {} is outside of {} (allow_outside_root lets it in)",
                shown(name),
                self.dir.display()
            ));
        }
        if !real.is_file() {
            return Err(format!("picture {} is no regular file", shown(name)));
        }
        Ok(ImageRef::Path(real))
    }
}

/// Reads one row. `place` becomes the id of a row without one. The error says what is wrong, not where.
///
/// Text is kept as it is, but for one line break between a picture's mark and the text beside it: it belongs to the mark
/// (LLaVA writes `<image>\n`), and chat templates set their own.
///
/// # Errors
/// What is missing or contradictory, in words.
pub fn parse_row(text: &str, columns: Option<&Columns>, root: &ImageRoot, place: &str) -> Result<Sample, String> {
    let sample = parse_prompt(text, columns, root, place)?;
    if !sample.messages.iter().any(|m| m.role == Role::Assistant) {
        return Err("no message of the assistant: there is nothing to learn from".into());
    }
    Ok(sample)
}

/// As [`parse_row`], for a conversation to be answered: the assistant need not have said anything.
///
/// # Errors
/// As there.
pub fn parse_prompt(text: &str, columns: Option<&Columns>, root: &ImageRoot, place: &str) -> Result<Sample, String> {
    let row: Map<String, Value> = serde_json::from_str(text).map_err(|e| format!("not a JSON object: {e}"))?;
    let detected;
    let columns = match columns {
        Some(columns) => columns,
        None => {
            detected = Columns::detect(row.keys().map(String::as_str))?;
            &detected
        }
    };
    let mut images = Vec::new();
    let named = columns.images.iter().find_map(|c| row.get(c).filter(|v| !v.is_null()).map(|v| (c, v)));
    match named {
        None => {}
        Some((_, Value::Array(list))) => {
            for item in list {
                images.push(root.find(image_name(item)?)?);
            }
        }
        Some((_, one)) => images.push(root.find(image_name(one)?)?),
    }
    let from_column = images.len();
    let made = columns.alpaca.as_ref().map(|alpaca| alpaca.messages(&row, columns)).transpose()?.map(Value::Array);
    let list = match made.as_ref().or_else(|| row.get(&columns.messages)) {
        Some(Value::Array(list)) if !list.is_empty() => list,
        Some(Value::Array(_)) => return Err(format!("{:?} is empty", columns.messages)),
        Some(other) => return Err(format!("{:?} is {}, expected a list of messages", columns.messages, kind(other))),
        None => return Err(format!("{:?} is missing", columns.messages)),
    };
    let mut reader = Reader { columns, root, images, marks: 0 };
    let mut messages = Vec::with_capacity(list.len() + 1);
    match row.get(&columns.system) {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) if text.is_empty() => {}
        Some(Value::String(text)) => messages.push(Message::text(Role::System, text.clone())),
        Some(other) => return Err(format!("{:?} is {}, expected a string", columns.system, kind(other))),
    }
    for (i, message) in list.iter().enumerate() {
        messages.push(reader.message(message).map_err(|e| format!("message {}: {e}", i + 1))?);
    }
    let Reader { images, marks, .. } = reader;
    if marks != from_column {
        return Err(format!(
            "{marks} {IMAGE_PLACEHOLDER} placeholders but {from_column} pictures: each picture needs its placeholder"
        ));
    }
    let id = match row.get(&columns.id) {
        Some(Value::String(id)) if !id.is_empty() => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => place.to_owned(),
    };
    Ok(Sample { id, messages, images })
}

fn image_name(value: &Value) -> Result<&str, String> {
    let name = match value {
        Value::String(name) => Some(name.as_str()),
        // Hugging Face's datasets write {"path": …, "bytes": …}.
        Value::Object(map) => map.get("path").and_then(Value::as_str),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    };
    name.ok_or_else(|| format!("a picture is {}, expected a path", kind(value)))
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

struct Reader<'r> {
    columns: &'r Columns,
    root: &'r ImageRoot,
    images: Vec<ImageRef>,
    /// How many pictures of the column have been placed; one too many is reported with the count of all.
    marks: usize,
}

impl Reader<'_> {
    fn message(&mut self, message: &Value) -> Result<Message, String> {
        let Columns { role_tag, content_tag, .. } = self.columns;
        let name =
            message.get(role_tag).and_then(Value::as_str).ok_or_else(|| format!("no string under {role_tag:?}"))?;
        let role = self.columns.role(name).ok_or_else(|| format!("unknown role {}", shown(name)))?;
        let mut content = Vec::new();
        match message.get(content_tag) {
            Some(Value::String(text)) => self.text(text, &mut content),
            Some(Value::Array(parts)) => {
                for part in parts {
                    self.part(part, &mut content)?;
                }
            }
            Some(other) => {
                return Err(format!("{content_tag:?} is {}, expected a string or a list of parts", kind(other)));
            }
            None => return Err(format!("{content_tag:?} is missing")),
        }
        if role == Role::Assistant && !content.iter().any(|p| matches!(p, Part::Text(t) if !t.is_empty())) {
            return Err("the assistant says nothing".into());
        }
        Ok(Message { role, content })
    }

    fn place(&mut self, out: &mut Vec<Part>) {
        out.push(Part::Image(self.marks));
        self.marks += 1;
    }

    fn text(&mut self, text: &str, out: &mut Vec<Part>) {
        for (i, piece) in text.split(IMAGE_PLACEHOLDER).enumerate() {
            let piece = if i > 0 {
                self.place(out);
                piece.strip_prefix('\n').unwrap_or(piece)
            } else {
                piece
            };
            if !piece.is_empty() {
                out.push(Part::Text(piece.to_owned()));
            }
        }
        // A mark at the end: the line break before it goes.
        if text.ends_with(IMAGE_PLACEHOLDER)
            && let [.., Part::Text(before), Part::Image(_)] = &mut out[..]
            && before.ends_with('\n')
        {
            before.pop();
        }
    }

    fn part(&mut self, part: &Value, out: &mut Vec<Part>) -> Result<(), String> {
        let text = |key: &str| part.get(key).and_then(Value::as_str);
        match text("type") {
            Some("text") => {
                let text = text("text").ok_or("a text part without \"text\"")?;
                // Marks in parts are plain text: the pictures have parts of their own.
                if !text.is_empty() {
                    out.push(Part::Text(text.to_owned()));
                }
                Ok(())
            }
            Some("image_url" | "image" | "input_image") => {
                let url = part.get("image_url").map(|u| u.get("url").unwrap_or(u));
                let source = url.or_else(|| ["image", "path", "url"].iter().find_map(|k| part.get(*k)));
                match source {
                    // The picture comes from the column.
                    None => self.place(out),
                    Some(source) => {
                        let image = self.root.find(image_name(source)?)?;
                        out.push(Part::Image(self.images.len()));
                        self.images.push(image);
                    }
                }
                Ok(())
            }
            Some(other) => Err(format!("a part of type {}, expected \"text\" or \"image_url\"", shown(other))),
            None => Err(format!("a part is {} without \"type\"", kind(part))),
        }
    }
}

impl ImageRoot {
    /// Pictures of the folder `dir` and those below it.
    ///
    /// # Errors
    /// The system's reason if there is no such folder.
    pub fn new(dir: &Path, allow_outside: bool) -> std::io::Result<Self> {
        Ok(ImageRoot { dir: dir.canonicalize()?, allow_outside })
    }
}

#[cfg(test)]
mod tests;
