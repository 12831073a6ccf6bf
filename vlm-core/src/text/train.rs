//! Training a tokenizer on the spot.

use super::guard::guarded;
use super::{SpecialTokens, Tokenizer};
use crate::Result;
use serde_json::Value;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, TokenizerBuilder};

/// How a byte-level BPE tokenizer is trained.
#[derive(Clone, Debug)]
pub struct BpeOptions {
    /// Largest vocabulary, special tokens and the 256 bytes included.
    pub vocab_size: usize,
    /// A pair that is seen less often is not merged.
    pub min_frequency: u64,
    /// Tokens that are never split; they get the first ids.
    pub special_tokens: Vec<String>,
    /// Which of them have a role.
    pub roles: SpecialTokens,
}

/// Trains byte-level BPE (Sennrich et al. 2016; bytes as in GPT-2) on `texts`. Every text can be encoded afterwards: what
/// no merge covers stays bytes. The same texts give the same tokenizer.
///
/// # Errors
/// [`ErrorKind::Tokenizer`](crate::ErrorKind::Tokenizer) if a role names a token that is not among the special ones.
pub fn train_bpe<S: AsRef<str> + Send>(texts: impl IntoIterator<Item = S>, options: &BpeOptions) -> Result<Tokenizer> {
    let texts: Vec<String> = texts.into_iter().map(|t| t.as_ref().to_owned()).collect();
    let inner = guarded("train tokenizer", || {
        let bytes = || ByteLevel::default().add_prefix_space(false);
        let mut tokenizer = TokenizerBuilder::new()
            .with_model(BPE::default())
            .with_normalizer(None::<tokenizers::NormalizerWrapper>)
            .with_pre_tokenizer(Some(bytes()))
            .with_post_processor(None::<tokenizers::PostProcessorWrapper>)
            .with_decoder(Some(bytes()))
            .build()?;
        let mut trainer = BpeTrainerBuilder::new()
            .vocab_size(options.vocab_size)
            .min_frequency(options.min_frequency)
            .show_progress(false)
            .special_tokens(options.special_tokens.iter().map(|t| AddedToken::from(t.clone(), true)).collect())
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        tokenizer.train(&mut trainer, texts.into_iter())?;
        // Through its file: what is used here is what `save` writes.
        tokenizers::Tokenizer::from_bytes(tokenizer.to_string(false)?)
    })?;
    Tokenizer::new(inner, options.roles.clone(), Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> BpeOptions {
        let roles = SpecialTokens { bos: Some("<s>".into()), eos: Some("</s>".into()), ..SpecialTokens::default() };
        BpeOptions {
            vocab_size: 300,
            min_frequency: 1,
            special_tokens: ["<s>", "</s>", "<image>"].map(String::from).into(),
            roles,
        }
    }

    #[test]
    fn every_text_comes_back_and_special_tokens_are_one_id() {
        let t = train_bpe(["a small cat", "a small dog"], &options()).unwrap();
        assert_eq!((t.bos_id(), t.eos_id(), t.token_to_id("<image>")), (Some(0), Some(1), Some(2)));
        for text in ["a small dog", "été 图 🙂\n\u{0}", "", "  two  spaces "] {
            let ids = t.encode(text, true).unwrap();
            assert_eq!(t.decode(&ids, true).unwrap(), text);
            assert!(ids.iter().all(|&id| (id as usize) < t.vocab_size()));
        }
        assert_eq!(t.encode("<image><image>", false).unwrap(), [2, 2]);
        assert_eq!(t.decode(&[2, 1], true).unwrap(), "");
    }

    #[test]
    fn training_twice_gives_the_same_and_its_file_reads_back() {
        let (a, b) = (train_bpe(["one two two"], &options()).unwrap(), train_bpe(["one two two"], &options()).unwrap());
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        a.save(one.path()).unwrap();
        b.save(two.path()).unwrap();
        let read = |d: &std::path::Path| std::fs::read(d.join("tokenizer.json")).unwrap();
        assert_eq!(read(one.path()), read(two.path()));
        let again = Tokenizer::load(one.path()).unwrap();
        assert_eq!(again.encode("two one", false).unwrap(), a.encode("two one", false).unwrap());
        assert_eq!(again.special_tokens(), a.special_tokens());
    }

    #[test]
    fn a_role_that_is_no_token_is_refused() {
        let mut options = options();
        options.roles.pad = Some("<pad>".into());
        let e = train_bpe(["x"], &options).unwrap_err();
        assert!(e.to_string().contains("pad_token \"<pad>\" is not in the vocabulary"), "{e}");
    }
}
