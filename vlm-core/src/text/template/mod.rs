//! Chat templates: conversations as the text that a model was trained on.
//!
//! Templates are those of Hugging Face, in Jinja's language. They come from model files, which are not trusted: a template
//! runs with bounded work and bounded output and sees nothing but the conversation. What users write is data to it, never
//! source.

mod answers;
mod json;
mod python;
mod source;

use crate::data::{Message, Part};
use crate::{Error, ErrorKind, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use serde_json::json;
use std::path::Path;

/// Most steps of one rendering; the longest known templates take a few thousand for a long conversation.
const FUEL: u64 = 10_000_000;
/// Longest rendered text in bytes.
const MAX_OUTPUT: usize = 16 << 20;
const CHAT: &str = "chat";

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// Names and texts of special tokens, which templates may print.
    tokens: serde_json::Map<String, serde_json::Value>,
    /// Whether the template itself marks what the assistant says.
    marked: bool,
}

/// What a rendering is given besides the messages.
#[derive(Clone, Debug, Default)]
pub struct RenderOptions {
    /// Ends with what begins an answer.
    pub add_generation_prompt: bool,
    /// Tools as OpenAI's schema describes them; `null` for none.
    pub tools: serde_json::Value,
    /// Further variables (`enable_thinking`).
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl ChatTemplate {
    /// Compiles a template. `tokens` are names and texts of special tokens (`bos_token`).
    ///
    /// # Errors
    /// [`ErrorKind::Template`] with the line that does not compile.
    pub fn new<'a>(template: &str, tokens: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let mut environment = Environment::new();
        environment.set_syntax(blocks_on_own_lines()?);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        python::add(&mut environment);
        json::add(&mut environment);
        let marked = answers::compile(&mut environment, template)?;
        let template = source::without_generation_tags(template);
        environment.add_template_owned(CHAT, template).map_err(|e| failure("compile chat template", &e))?;
        let tokens = tokens.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
        Ok(ChatTemplate { environment, tokens, marked })
    }

    /// The template of a model's folder, wherever it stands: `chat_template.jinja`, `chat_template.json`, or
    /// `chat_template` of `tokenizer_config.json` or `processor_config.json`, in this order. `None` if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] or [`ErrorKind::Template`] for a file that cannot be read or does not compile.
    pub fn load<'a>(dir: &Path, tokens: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Option<Self>> {
        let Some(found) = source::find(dir)? else { return Ok(None) };
        Self::new(&found, tokens).map(Some).map_err(|e| e.with("folder", dir.display()))
    }

    /// The text of a conversation, pictures shown as the template shows them.
    ///
    /// # Errors
    /// [`ErrorKind::Template`] if the template refuses the conversation or takes too long.
    pub fn render(&self, messages: &[Message], options: &RenderOptions) -> Result<String> {
        self.render_json(&messages_to_json(messages), options)
    }

    /// As [`ChatTemplate::render`], for messages in transformers' form: `[{"role", "content"}]`, content a text or a list
    /// of `{"type": "text", "text"}` and `{"type": "image"}`; with `tool_calls` where there are any.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`]; [`ErrorKind::Data`] if `messages` is not a list of objects with a role.
    pub fn render_json(&self, messages: &serde_json::Value, options: &RenderOptions) -> Result<String> {
        self.render_named(CHAT, messages, options)
    }

    fn render_named(&self, name: &str, messages: &serde_json::Value, options: &RenderOptions) -> Result<String> {
        let rows = messages.as_array().filter(|rows| rows.iter().all(|m| m["role"].is_string()));
        let Some(rows) = rows else {
            return Err(Error::new(ErrorKind::Data, "chat template", "messages are not a list of objects with a role"));
        };
        let rows: Vec<_> = rows.iter().cloned().map(with_parsed_arguments).collect();
        let mut variables = self.tokens.clone();
        variables.extend(options.extra.clone());
        let given = context! {
            messages => Value::from(Serde(&rows)),
            tools => Value::from(Serde(&options.tools)),
            add_generation_prompt => options.add_generation_prompt,
            ..Value::from(Serde(&variables))
        };
        let template = self.environment.get_template(name).map_err(|e| failure("chat template", &e))?;
        let mut out = Bounded { text: Vec::new(), over: false };
        let rendered = template.render_captured_to(given, &mut out);
        if out.over {
            return Err(Error::new(
                ErrorKind::Template,
                "chat template",
                format!("the text is longer than {MAX_OUTPUT} bytes"),
            ));
        }
        rendered.map_err(|e| failure("chat template", &e))?;
        String::from_utf8(out.text).map_err(|e| Error::new(ErrorKind::Template, "chat template", e.to_string()))
    }
}

/// A tag on a line of its own leaves no trace of the line, as transformers sets Jinja up.
fn blocks_on_own_lines() -> Result<SyntaxConfig> {
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    syntax.map_err(|e| failure("chat template", &e))
}

/// Messages in transformers' form: a text alone as a list with one part, as processors hand it to templates.
pub fn messages_to_json(messages: &[Message]) -> serde_json::Value {
    let part = |p: &Part| match p {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Image(_) => json!({"type": "image"}),
    };
    let message =
        |m: &Message| json!({"role": m.role.as_str(), "content": m.content.iter().map(part).collect::<Vec<_>>()});
    messages.iter().map(message).collect()
}

/// OpenAI's clients send the arguments of a tool call as JSON inside a text; templates want the object.
fn with_parsed_arguments(mut message: serde_json::Value) -> serde_json::Value {
    for call in message["tool_calls"].as_array_mut().into_iter().flatten() {
        let call = if call["function"].is_object() { &mut call["function"] } else { call };
        let parsed = call["arguments"].as_str().and_then(|t| serde_json::from_str::<serde_json::Value>(t).ok());
        if let Some(parsed) = parsed.filter(serde_json::Value::is_object) {
            call["arguments"] = parsed;
        }
    }
    // Indexing a missing key for writing adds it; a message without tool calls shall stay without.
    if let Some(map) = message.as_object_mut()
        && map.get("tool_calls").is_some_and(serde_json::Value::is_null)
    {
        map.shift_remove("tool_calls");
    }
    message
}

fn failure(op: &'static str, e: &minijinja::Error) -> Error {
    let line = e.line().map_or_else(String::new, |l| format!(" in line {l}"));
    let detail = e.detail().map_or_else(|| e.kind().to_string(), |d| format!("{}: {d}", e.kind()));
    let error = Error::new(ErrorKind::Template, op, format!("{detail}{line}"));
    if e.kind() == minijinja::ErrorKind::OutOfFuel {
        return error.hint("the template does not end by itself, or the conversation is far too long");
    }
    error
}

/// Output that stops at [`MAX_OUTPUT`].
struct Bounded {
    text: Vec<u8>,
    over: bool,
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.text.len() + bytes.len() > MAX_OUTPUT {
            self.over = true;
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
