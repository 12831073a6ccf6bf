//! Conversations to learn from: which of their text a model learns to say.

use super::{Processor, Row};
use crate::text::template::RenderOptions;
use crate::vision::Picture;
use crate::{Error, ErrorKind, Result};
use serde_json::Value;

/// What of a conversation is learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Learn {
    /// All that the assistant says, and what closes its turns.
    #[default]
    Answers,
    /// The last message alone, which is the assistant's.
    LastAnswer,
    /// The whole text.
    Everything,
}

impl Processor {
    /// A conversation as a row to learn from; [`Processor::encode`] then gives labels. `messages` as for
    /// [`Processor::render`], the last of them the assistant's.
    ///
    /// Families without a chat template (PaliGemma) learn one answer, the last message.
    ///
    /// # Errors
    /// Those of [`ChatTemplate::render_answers`](crate::text::ChatTemplate::render_answers); [`ErrorKind::Data`] if
    /// nothing is left to learn.
    pub fn training_row(&self, messages: &Value, pictures: Vec<Picture>, learn: Learn) -> Result<Row> {
        let options = RenderOptions::default();
        let nothing = |what: &str| {
            Err(Error::new(ErrorKind::Data, "conversation", what)
                .hint("end the conversation with the assistant's answer"))
        };
        let Some(template) = &self.template else {
            let split = messages.as_array().and_then(|m| m.split_last()).filter(|(m, _)| m["role"] == "assistant");
            let Some((answer, asked)) = split else { return nothing("the last message is not the assistant's") };
            if asked.iter().any(|m| m["role"] == "assistant") {
                return nothing("this family learns one answer, and the conversation has several");
            }
            let text = self.render(&Value::from(asked), true)?;
            return Ok(Row { text, pictures, suffix: Some(plain_text(&answer["content"])), learnt: Vec::new() });
        };
        let (text, learnt) = match learn {
            Learn::Answers => template.render_answers(messages, &options)?,
            Learn::LastAnswer => {
                let (text, last) = template.render_last_answer(messages, &options)?;
                (text, vec![last])
            }
            Learn::Everything => {
                let text = template.render_json(messages, &options)?;
                let whole = 0..text.len();
                (text, vec![whole])
            }
        };
        if learnt.iter().all(|range| range.is_empty()) {
            return nothing("the conversation has no answer to learn");
        }
        Ok(Row { text, pictures, suffix: None, learnt })
    }
}

/// The text of a message's content.
fn plain_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        parts => parts.as_array().into_iter().flatten().filter_map(|p| p["text"].as_str()).collect(),
    }
}
