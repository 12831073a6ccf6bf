//! Text for models: tokenizers as `tokenizer.json` describes them, chat templates, and text that comes out token by token.

mod guard;
mod special;
mod stop;
mod stream;
pub mod template;
mod tokenizer;
mod train;

pub use special::SpecialTokens;
pub use stop::{StopMatch, StopStrings};
pub use stream::TextStream;
pub use template::ChatTemplate;
pub use tokenizer::Tokenizer;
pub use train::{BpeOptions, train_bpe};
