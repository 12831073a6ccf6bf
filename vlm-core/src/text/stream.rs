//! Text that comes token by token.

use super::Tokenizer;
use crate::Result;

/// Turns ids into text as they come: a piece is given out once no later token can change it.
///
/// Byte-level tokens may end inside a character; such a piece waits for the rest of it.
#[derive(Clone, Debug)]
pub struct TextStream {
    tokenizer: Tokenizer,
    skip_special: bool,
    ids: Vec<u32>,
    /// Start of the ids that are decoded together with the next one: decoders look at the token before.
    context: usize,
    /// Ids whose text has been given out.
    given: usize,
}

/// A byte sequence that never becomes a character is given out after so many tokens.
const LONGEST_WAIT: usize = 8;

impl TextStream {
    /// A stream of nothing yet.
    pub fn new(tokenizer: &Tokenizer, skip_special: bool) -> Self {
        TextStream { tokenizer: tokenizer.clone(), skip_special, ids: Vec::new(), context: 0, given: 0 }
    }

    /// Adds a token and returns the text that is settled by it; empty while a character is incomplete.
    ///
    /// # Errors
    /// Those of the tokenizer.
    pub fn push(&mut self, id: u32) -> Result<String> {
        self.ids.push(id);
        self.take(self.ids.len() - self.given > LONGEST_WAIT)
    }

    /// The rest, with `\u{fffd}` for a character that never became whole.
    ///
    /// # Errors
    /// Those of the tokenizer.
    pub fn finish(mut self) -> Result<String> {
        self.take(true)
    }

    fn take(&mut self, all: bool) -> Result<String> {
        let before = self.tokenizer.decode(&self.ids[self.context..self.given], self.skip_special)?;
        let whole = self.tokenizer.decode(&self.ids[self.context..], self.skip_special)?;
        if !all && whole.ends_with('\u{fffd}') {
            return Ok(String::new());
        }
        let new = match whole.strip_prefix(before.as_str()) {
            Some(new) => new.to_owned(),
            // Bytes that turn out to be no text change how those before them are shown; what is out stays out.
            None => whole.chars().skip(before.chars().count()).collect(),
        };
        // Only the last given ids matter from here on; older ones are dropped, so memory stays small.
        self.ids.drain(..self.given);
        (self.context, self.given) = (0, self.ids.len());
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BpeOptions, SpecialTokens, train_bpe};
    use super::*;

    fn tokenizer() -> Tokenizer {
        let options = BpeOptions {
            vocab_size: 280,
            min_frequency: 1,
            special_tokens: vec!["</s>".into()],
            roles: SpecialTokens::default(),
        };
        train_bpe(["some text here"], &options).unwrap()
    }

    #[test]
    fn pieces_add_up_and_never_cut_a_character() {
        let t = tokenizer();
        let text = "some é 図 🙂 text\n";
        let mut stream = TextStream::new(&t, true);
        let mut all = String::new();
        for id in t.encode(text, false).unwrap() {
            let piece = stream.push(id).unwrap();
            assert!(!piece.contains('\u{fffd}'), "{piece:?}");
            all += &piece;
        }
        assert_eq!(all + &stream.finish().unwrap(), text);
    }

    #[test]
    fn half_a_character_comes_out_at_the_end_and_waits_are_bounded() {
        let t = tokenizer();
        let half = t.encode("é", false).unwrap()[0];
        let mut stream = TextStream::new(&t, true);
        assert_eq!(stream.push(half).unwrap(), "");
        assert_eq!(stream.finish().unwrap(), "\u{fffd}");
        let mut stream = TextStream::new(&t, true);
        let said: String = (0..200).map(|_| stream.push(half).unwrap()).collect();
        assert!(said.chars().count() > 150, "{}", said.len());
        assert!(stream.ids.len() < 20);
    }
}
