//! One conversation with its pictures.

use crate::Result;
use crate::vision::{Picture, PictureLimits};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The mark that stands for a picture in a message's text.
pub const IMAGE_PLACEHOLDER: &str = "<image>";

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions for the whole conversation.
    System,
    /// The one who asks.
    User,
    /// The one who answers: what a model learns to say.
    Assistant,
    /// The result of a tool.
    Tool,
}

impl Role {
    /// The name in chat templates.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        }
    }
}

/// A piece of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text.
    Text(String),
    /// The picture at this position of [`Sample::images`].
    Image(usize),
}

/// What somebody says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who.
    pub role: Role,
    /// What, in order.
    pub content: Vec<Part>,
}

impl Message {
    /// A message of text alone.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Message { role, content: vec![Part::Text(text.into())] }
    }

    /// The content with each picture as [`IMAGE_PLACEHOLDER`].
    pub fn to_text(&self) -> String {
        let show = |p: &Part| match p {
            Part::Text(text) => text.clone(),
            Part::Image(_) => IMAGE_PLACEHOLDER.to_owned(),
        };
        self.content.iter().map(show).collect()
    }

    /// The pictures, as positions of [`Sample::images`].
    pub fn images(&self) -> impl Iterator<Item = usize> {
        self.content.iter().filter_map(|p| if let Part::Image(i) = p { Some(*i) } else { None })
    }
}

/// A picture that is not decoded yet.
#[derive(Clone, PartialEq, Eq)]
pub enum ImageRef {
    /// A file.
    Path(PathBuf),
    /// The bytes of a file.
    Bytes(Arc<[u8]>),
    /// Pixels: rows from the top, three bytes (red, green, blue) each.
    Raw {
        /// Pixels per row.
        width: u32,
        /// Rows.
        height: u32,
        /// `3 · width · height` bytes.
        rgb: Arc<[u8]>,
    },
}

impl fmt::Debug for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageRef::Path(path) => write!(f, "Path({})", path.display()),
            ImageRef::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            ImageRef::Raw { width, height, .. } => write!(f, "Raw({width}x{height})"),
        }
    }
}

/// One row of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The row's id; where it has none, its place (`"data.jsonl:12"`), so that every message about it can name it.
    pub id: String,
    /// The conversation.
    pub messages: Vec<Message>,
    /// The pictures that the messages show, referred to by position.
    pub images: Vec<ImageRef>,
}

impl Sample {
    /// All pictures of the row, decoded.
    ///
    /// # Errors
    /// Those of [`PictureLimits::load`] for usual limits, with the row's id and the picture's position.
    pub fn pictures(&self) -> Result<Vec<Picture>> {
        self.pictures_within(&PictureLimits::default())
    }

    /// As [`Sample::pictures`], within other limits.
    ///
    /// # Errors
    /// As there.
    pub fn pictures_within(&self, limits: &PictureLimits) -> Result<Vec<Picture>> {
        limits.load(&self.images).map_err(|e| e.with("row", &self.id))
    }
}
