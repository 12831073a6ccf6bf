//! Where in a rendered conversation the assistant speaks: what a model learns to say.

use super::{ChatTemplate, RenderOptions, failure};
use crate::{Error, ErrorKind, Result};
use minijinja::{Environment, Value};
use serde_json::Value as Json;
use std::ops::Range;

const OP: &str = "find answers";
/// The template with marks around what stands between generation tags.
pub(super) const MARKED: &str = "marked";
/// Noncharacters, which no text has (Unicode 16, section 23.7).
const MARKS: [char; 2] = ['\u{fdd0}', '\u{fdd1}'];

pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("vlm_generation", |text: &str| Value::from(format!("{}{text}{}", MARKS[0], MARKS[1])));
}

impl ChatTemplate {
    /// The text of a whole conversation, and the ranges of bytes in it that are answers: each message of the assistant
    /// with what closes its turn, in order.
    ///
    /// A template that marks them with `{% generation %}` says it itself. Of any other the answer of a message is what
    /// the text up to and with it has more than the text before it that asks for an answer.
    ///
    /// # Errors
    /// As [`ChatTemplate::render_json`]; [`ErrorKind::Template`] for a template without `{% generation %}` that renders
    /// earlier messages otherwise when more follow, so that there is no telling where answers stand.
    pub fn render_answers(&self, messages: &Json, options: &RenderOptions) -> Result<(String, Vec<Range<usize>>)> {
        let options = RenderOptions { add_generation_prompt: false, ..options.clone() };
        if self.marked {
            if messages.to_string().contains(MARKS) {
                let message = "a message holds U+FDD0 or U+FDD1, which are no characters";
                return Err(Error::new(ErrorKind::Data, OP, message).hint("remove them from the text"));
            }
            return Ok(unmark(&self.render_named(MARKED, messages, &options)?));
        }
        let all = messages.as_array().map_or(&[][..], Vec::as_slice);
        let whole = self.render_json(messages, &options)?;
        let mut answers = Vec::new();
        for (i, _) in all.iter().enumerate().filter(|(_, m)| m["role"] == "assistant") {
            let start = self.answer_start(&whole, &all[..i], &options)?;
            let with = self.render_json(&Json::from(&all[..=i]), &options)?;
            let Some(start) = start.filter(|start| whole.starts_with(&with) && *start <= with.len()) else {
                let message = format!(
                    "message {} cannot be told from the rest: the template renders it otherwise when more follow",
                    i + 1
                );
                return Err(Error::new(ErrorKind::Template, OP, message).hint(
                    "learn from the last answer alone (mask_history), or mark answers in the template with {% generation %}",
                ));
            };
            answers.push(start..with.len());
        }
        Ok((whole, answers))
    }

    /// As [`ChatTemplate::render_answers`], for the last message alone, which must be the assistant's. The messages before
    /// it may be rendered otherwise than when they were the last (templates drop old thoughts).
    ///
    /// # Errors
    /// As there; [`ErrorKind::Data`] if the last message is another's.
    pub fn render_last_answer(&self, messages: &Json, options: &RenderOptions) -> Result<(String, Range<usize>)> {
        let Some((_, before)) =
            messages.as_array().and_then(|m| m.split_last()).filter(|(m, _)| m["role"] == "assistant")
        else {
            return Err(Error::new(ErrorKind::Data, OP, "the last message is not the assistant's"));
        };
        let options = RenderOptions { add_generation_prompt: false, ..options.clone() };
        let whole = self.render_json(messages, &options)?;
        let Some(start) = self.answer_start(&whole, before, &options)? else {
            let message = "the template renders earlier messages otherwise when it asks for the answer";
            return Err(
                Error::new(ErrorKind::Template, OP, message).hint("mark answers in the template with {% generation %}")
            );
        };
        let answer = start..whole.len();
        Ok((whole, answer))
    }

    /// Where the answer to `before` begins in the whole text: where it parts from the text that asks for one. Templates
    /// may begin an answer slightly otherwise than they ask for it (LLaVA-OneVision: `assistant \n`, `assistant\n`), but
    /// what was said before must be the same: else `None`.
    fn answer_start(&self, whole: &str, before: &[Json], options: &RenderOptions) -> Result<Option<usize>> {
        let asking = RenderOptions { add_generation_prompt: true, ..options.clone() };
        let asked = self.render_json(&Json::from(before), &asking)?;
        let same = whole.chars().zip(asked.chars()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum();
        if same == asked.len() {
            return Ok(Some(same));
        }
        let said = self.render_json(&Json::from(before), options)?;
        Ok((same > said.len() && asked.starts_with(&said)).then_some(same))
    }
}

/// The text without marks, and what was between them.
fn unmark(text: &str) -> (String, Vec<Range<usize>>) {
    let (mut out, mut ranges, mut start) = (String::with_capacity(text.len()), Vec::new(), None);
    for c in text.chars() {
        match c {
            c if c == MARKS[0] => start = Some(out.len()),
            c if c == MARKS[1] => ranges.extend(start.take().map(|start| start..out.len())),
            c => out.push(c),
        }
    }
    (out, ranges)
}

/// `{% generation %}` as a filter block, which marks what it holds.
pub(super) fn with_marks(template: &str) -> Option<String> {
    let marked = super::source::replace_generation_tags(template, "filter vlm_generation", "endfilter");
    (marked != template).then_some(marked)
}

/// Compiles the marked template beside the plain one, if the template marks answers.
pub(super) fn compile(environment: &mut Environment<'static>, template: &str) -> Result<bool> {
    let Some(marked) = with_marks(template) else { return Ok(false) };
    add(environment);
    environment.add_template_owned(MARKED, marked).map_err(|e| failure("compile chat template", &e))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const CHAT: &str = "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>\n{% endfor %}\
                        {% if add_generation_prompt %}<assistant>{% endif %}";
    const MARKING: &str = "{% for m in messages %}\n<{{ m.role }}>\n{% if m.role == 'assistant' %}\n{% generation %}\n\
                           {{ m.content }}<end>\n{% endgeneration %}\n{% else %}\n{{ m.content }}<end>\n{% endif %}\n{% endfor %}";

    fn answers(template: &str, messages: &Json) -> Result<(String, Vec<String>)> {
        let (text, ranges) = ChatTemplate::new(template, [])?.render_answers(messages, &RenderOptions::default())?;
        let found = ranges.into_iter().map(|r| text[r].to_owned()).collect();
        Ok((text, found))
    }

    fn talk() -> Json {
        json!([
            {"role": "user", "content": "é?"}, {"role": "assistant", "content": "ü"},
            {"role": "user", "content": "b?"}, {"role": "assistant", "content": "B"},
        ])
    }

    #[test]
    fn answers_are_found_with_and_without_marks() {
        let (text, found) = answers(CHAT, &talk()).unwrap();
        assert_eq!(text, "<user>é?<end>\n<assistant>ü<end>\n<user>b?<end>\n<assistant>B<end>\n");
        assert_eq!(found, ["ü<end>\n", "B<end>\n"]);
        let (text, found) = answers(MARKING, &talk()).unwrap();
        assert_eq!(found, ["ü<end>\n", "B<end>\n"], "{text}");
        let plain = ChatTemplate::new(MARKING, []).unwrap().render_json(&talk(), &RenderOptions::default()).unwrap();
        assert_eq!(text, plain, "marks must not change the text");
        let odd = json!([{"role": "user", "content": "\u{fdd0}"}]);
        assert_eq!(answers(MARKING, &odd).unwrap_err().kind(), ErrorKind::Data);
    }

    #[test]
    fn a_template_that_rewrites_history_gives_the_last_answer_only() {
        // As reasoning models do: thoughts stay in the last message alone.
        let forgets = "{% for m in messages %}<{{ m.role }}>{{ m.content if loop.last else m.content.split('|')[-1] }}<end>\
                       {% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
        let talk = json!([
            {"role": "user", "content": "a"}, {"role": "assistant", "content": "thought|A"},
            {"role": "user", "content": "b"}, {"role": "assistant", "content": "thought|B"},
        ]);
        let e = answers(forgets, &talk).unwrap_err();
        assert!(e.kind() == ErrorKind::Template && e.to_string().contains("message 2"), "{e}");
        let template = ChatTemplate::new(forgets, []).unwrap();
        let (text, last) = template.render_last_answer(&talk, &RenderOptions::default()).unwrap();
        assert_eq!(&text[last], "thought|B<end>");
        let user_last = json!([{"role": "user", "content": "a"}]);
        assert_eq!(
            template.render_last_answer(&user_last, &RenderOptions::default()).unwrap_err().kind(),
            ErrorKind::Data
        );
    }
}
