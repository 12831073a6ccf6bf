//! From conversations and pictures to what a model reads: chat template, pictures, placeholders, tokens, padding.
//!
//! What differs between families is a [`PictureText`]; the rest is written once in [`Processor`].

mod answers;
mod dual;
mod families;
mod pictures;
mod rows;

pub use answers::Learn;
pub use dual::{DualProcessor, Texts};
pub use families::{PictureTextLoader, register};
pub use pictures::Pictures;
pub use rows::{Encoded, PaddingSide, Row};

use super::read_config;
use crate::text::template::RenderOptions;
use crate::text::{ChatTemplate, Tokenizer};
use crate::vision::Picture;
use crate::{Error, ErrorKind, Result};
use serde_json::Value;
use std::fmt::Debug;
use std::ops::Range;
use std::path::Path;

/// How a family prepares pictures and shows them in the text.
pub trait PictureText: Send + Sync + Debug {
    /// The pictures of all rows as numbers; at least one row has one.
    ///
    /// # Errors
    /// [`ErrorKind::Image`] for a picture that the family cannot take.
    fn pictures(&self, rows: &[Vec<Picture>]) -> Result<Pictures>;

    /// What stands for a picture in the text of a conversation, before [`PictureText::expand`].
    fn placeholder(&self) -> &str;

    /// The text that the tokenizer gets: every placeholder of `text` stands for one of the pictures `range` and becomes as
    /// many as that picture has tokens, with what the family puts around them.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if placeholders and pictures differ in number ([`replace_placeholders`]).
    fn expand(&self, text: &str, pictures: &Pictures, range: Range<usize>) -> Result<String>;

    /// The text of a conversation where the family has no chat template; `None` for families that need one.
    fn without_template(&self, messages: &Value) -> Option<String> {
        let _ = messages;
        None
    }

    /// What is appended to an answer where no template closes it (PaliGemma: the end token), and whether tokens of the
    /// answer are of type 1.
    fn suffix_end(&self) -> Option<&str> {
        None
    }
}

/// Tokenizer, chat template and picture rules of a model's folder.
#[derive(Debug)]
pub struct Processor {
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    rules: Box<dyn PictureText>,
}

impl Processor {
    /// The processor of a model's folder.
    ///
    /// # Errors
    /// Those of the tokenizer, the template and the picture settings; [`ErrorKind::Config`] for a `model_type` that has no
    /// processor here.
    pub fn load(dir: &Path) -> Result<Self> {
        let config = read_config(dir)?;
        let tokenizer = Tokenizer::load(dir)?;
        let template = ChatTemplate::load(dir, tokenizer.special_tokens().iter())?;
        let rules = families::load(dir, &config, &tokenizer)?;
        Ok(Processor { tokenizer, template, rules })
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The picture rules.
    pub fn rules(&self) -> &dyn PictureText {
        &*self.rules
    }

    /// The text of a conversation, each picture as one placeholder. `messages` as in
    /// [`ChatTemplate::render_json`].
    ///
    /// # Errors
    /// Those of the template; [`ErrorKind::Template`] if the folder has none and the family needs one.
    pub fn render(&self, messages: &Value, add_generation_prompt: bool) -> Result<String> {
        if let Some(template) = &self.template {
            return template
                .render_json(messages, &RenderOptions { add_generation_prompt, ..RenderOptions::default() });
        }
        self.rules.without_template(messages).ok_or_else(|| {
            Error::new(ErrorKind::Template, "chat template", "the model's folder has no chat template")
                .hint("add chat_template.jinja, or chat_template.json, or chat_template in tokenizer_config.json")
        })
    }

    /// Whether the tokenizer adds what it puts around every text: unless the text has it already.
    pub fn adds_special_tokens(&self, text: &str) -> bool {
        let bos = self.tokenizer.special_tokens().bos.as_deref();
        bos.is_none_or(|bos| bos.is_empty() || !text.starts_with(bos))
    }

    /// Rows as tokens of one length, with their pictures as numbers.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] naming the row whose placeholders and pictures differ in number; those of the tokenizer and of
    /// [`PictureText::pictures`].
    pub fn encode(&self, rows: &[Row], side: PaddingSide) -> Result<Encoded> {
        rows::encode(self, rows, side)
    }
}

/// `text` with its placeholders `marker` replaced by what `with` gives for each of `range`, in order.
///
/// # Errors
/// [`ErrorKind::Data`] if they differ in number.
pub fn replace_placeholders(
    text: &str,
    marker: &str,
    range: Range<usize>,
    mut with: impl FnMut(usize) -> Result<String>,
) -> Result<String> {
    let found = text.matches(marker).count();
    if found != range.len() {
        let message = format!("the text has {found} placeholders {marker}, there are {} pictures", range.len());
        return Err(Error::new(ErrorKind::Data, "pictures in text", message)
            .hint("give one picture for each placeholder; a user's text must not contain the placeholder itself"));
    }
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split(marker);
    out.extend(parts.next());
    for (part, picture) in parts.zip(range) {
        out += &with(picture)?;
        out += part;
    }
    Ok(out)
}
