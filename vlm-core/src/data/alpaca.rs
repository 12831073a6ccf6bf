//! Rows of one question and one answer: `{"instruction": …, "input": …, "output": …}`.

use super::row::{Columns, kind};
use serde_json::{Map, Value, json};

/// Names of the columns of such rows, as in LLaMA-Factory's `dataset_info.json`. An empty name stands for no column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlpacaColumns {
    /// The question.
    pub prompt: String,
    /// What is said after it, on a line of its own.
    pub query: String,
    /// The answer.
    pub response: String,
    /// Earlier questions and answers, a list of pairs.
    pub history: String,
}

impl AlpacaColumns {
    /// `instruction`, `input`, `output`, `history`.
    pub fn alpaca() -> Self {
        let [prompt, query, response, history] = ["instruction", "input", "output", "history"].map(str::to_owned);
        AlpacaColumns { prompt, query, response, history }
    }

    /// `query`, `response`, `history`, as ms-swift has them.
    pub fn query_response() -> Self {
        let [prompt, query, response, history] = ["query", "", "response", "history"].map(str::to_owned);
        AlpacaColumns { prompt, query, response, history }
    }

    /// The row as a list of messages with the tags of `columns`.
    pub(super) fn messages(&self, row: &Map<String, Value>, columns: &Columns) -> Result<Vec<Value>, String> {
        let text = |key: &str| match row.get(key) {
            None | Some(Value::Null) => Ok(""),
            Some(Value::String(text)) => Ok(text.as_str()),
            Some(other) => Err(format!("{key:?} is {}, expected a string", kind(other))),
        };
        let mut messages = Vec::new();
        let mut say = |tags: &[String], text: &str| {
            let tag = tags.first().ok_or("the columns have no tag for user or assistant")?;
            messages.push(json!({ &columns.role_tag: tag, &columns.content_tag: text }));
            Ok::<(), String>(())
        };
        match row.get(&self.history) {
            None | Some(Value::Null) => {}
            Some(Value::Array(pairs)) => {
                for (i, pair) in pairs.iter().enumerate() {
                    let turn = pair.as_array().map(|p| [p.first(), p.get(1)].map(|v| v.and_then(Value::as_str)));
                    let Some([Some(question), Some(answer)]) = turn else {
                        return Err(format!("{:?}, entry {}: expected a question and an answer", self.history, i + 1));
                    };
                    say(&columns.user_tags, question)?;
                    say(&columns.assistant_tags, answer)?;
                }
            }
            Some(other) => return Err(format!("{:?} is {}, expected a list of pairs", self.history, kind(other))),
        }
        let asked: Vec<&str> =
            [text(&self.prompt)?, text(&self.query)?].into_iter().filter(|t| !t.is_empty()).collect();
        let answer = text(&self.response)?;
        if answer.is_empty() {
            return Err(format!("{:?} is missing or empty: there is nothing to learn from", self.response));
        }
        say(&columns.user_tags, &asked.join("\n"))?;
        say(&columns.assistant_tags, answer)?;
        Ok(messages)
    }
}
