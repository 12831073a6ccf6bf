//! The two kinds of question, and how a question becomes tokens.

use anyhow::{Context, Result};
use vlm_core::tensor::IGNORE_INDEX;
use vlm_core::text::{BpeOptions, SpecialTokens, Tokenizer, train_bpe};

/// Numbers in words.
pub const WORDS: [&str; 11] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];

/// What is asked about a digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Its name: what the base model learns.
    Which,
    /// The name of the number after it: what the adapter learns.
    Next,
}

impl Question {
    /// The question in words.
    pub fn text(self) -> &'static str {
        match self {
            Question::Which => "Which digit is this?",
            Question::Next => "Which number comes next?",
        }
    }

    /// The right answer about a digit.
    pub fn answer(self, digit: usize) -> &'static str {
        match self {
            Question::Which => WORDS[digit],
            Question::Next => WORDS[digit + 1],
        }
    }
}

/// Where a picture stands in the text.
pub const IMAGE: &str = "<image>";

/// LLaVA 1.5's conversation, up to where the answer begins.
pub fn prompt(question: Question, image_tokens: usize) -> String {
    format!("USER: {}\n{} ASSISTANT:", IMAGE.repeat(image_tokens), question.text())
}

/// A byte-pair tokenizer trained on all that is ever said about digits.
///
/// # Errors
/// Those of training.
pub fn tokenizer() -> Result<Tokenizer> {
    let special = ["<unk>", "<s>", "</s>", "<pad>", IMAGE].map(str::to_owned);
    let [unk, bos, eos, pad, _] = special.clone();
    let roles = SpecialTokens { bos: Some(bos), eos: Some(eos), pad: Some(pad), unk: Some(unk), named: Vec::new() };
    let both = [Question::Which, Question::Next];
    let talk = both.iter().flat_map(|q| (0..10).map(|d| format!("USER: \n{} ASSISTANT: {}", q.text(), q.answer(d))));
    let texts: Vec<String> = talk.collect();
    let options = BpeOptions { vocab_size: 320, min_frequency: 1, special_tokens: special.to_vec(), roles };
    Ok(train_bpe(texts, &options)?)
}

/// A question with its answer: ids, and labels that count the answer alone.
#[derive(Clone, Debug)]
pub struct Talk {
    /// Token ids.
    pub ids: Vec<i64>,
    /// The same, [`IGNORE_INDEX`] outside of the answer.
    pub labels: Vec<i64>,
}

/// The ids of a question alone.
///
/// # Errors
/// Those of the tokenizer.
pub fn ask(tokenizer: &Tokenizer, question: Question, image_tokens: usize) -> Result<Vec<i64>> {
    let bos = tokenizer.bos_id().context("the tokenizer has no <s>")?;
    let ids = tokenizer.encode(&prompt(question, image_tokens), false)?;
    Ok(std::iter::once(bos).chain(ids).map(i64::from).collect())
}

/// A question and its answer, padded on the right to `length`.
///
/// # Errors
/// Those of the tokenizer.
pub fn talk(
    tokenizer: &Tokenizer,
    question: Question,
    digit: usize,
    image_tokens: usize,
    length: usize,
) -> Result<Talk> {
    let mut ids = ask(tokenizer, question, image_tokens)?;
    let mut labels = vec![IGNORE_INDEX; ids.len()];
    let answer = tokenizer.encode(&format!(" {}", question.answer(digit)), false)?;
    let end = tokenizer.eos_id().context("the tokenizer has no </s>")?;
    for id in answer.into_iter().chain([end]).map(i64::from) {
        ids.push(id);
        labels.push(id);
    }
    anyhow::ensure!(ids.len() <= length, "a question of {} tokens does not fit into {length}", ids.len());
    let pad = i64::from(tokenizer.pad_id().context("the tokenizer has no <pad>")?);
    ids.resize(length, pad);
    labels.resize(length, IGNORE_INDEX);
    Ok(Talk { ids, labels })
}
