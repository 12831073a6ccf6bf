//! The one error type of the workspace.
//!
//! An [`Error`] says what kind of thing went wrong ([`ErrorKind`], for programs), which operation noticed, what was
//! expected and found (the message, for people), where in a model (`model.layers.3.self_attn.q_proj`) and what to do
//! about it (the hint). `Display` is one line; `Debug` prints every part on its own line.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure an [`Error`] is. Match on this, not on messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Shapes, ranks or dimensions that do not fit the operation.
    Shape,
    /// An element type that the operation does not take.
    DType,
    /// An unknown device, or tensors on different devices.
    Device,
    /// An index outside its range.
    Index,
    /// The device cannot do this at all.
    Unsupported,
    /// The operation has no gradient rule and its input asks for one.
    NoGradient,
    /// A gradient was asked for that the graph does not hold.
    MissingGradient,
    /// The device's memory did not suffice.
    OutOfMemory,
    /// The device went away and its tensors with it.
    DeviceLost,
    /// A NaN or an infinity where only finite numbers make sense.
    NonFinite,
    /// Reading or writing a file failed.
    Io,
    /// Bytes of a file or message that are not what they claim to be.
    Format,
    /// A configuration that contradicts itself or asks for something unknown.
    Config,
    /// A tokenizer file or a text that cannot be tokenized.
    Tokenizer,
    /// A chat template that does not compile or render.
    Template,
    /// A picture that cannot be decoded or used.
    Image,
    /// A row of a dataset that cannot be used.
    Data,
    /// The work was stopped on request.
    Cancelled,
    /// A driver or library below a backend reported a failure.
    Backend,
}

impl ErrorKind {
    /// The kind as one lower-case word, as `Display` prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Shape => "shape",
            ErrorKind::DType => "dtype",
            ErrorKind::Device => "device",
            ErrorKind::Index => "index",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::NoGradient => "no gradient",
            ErrorKind::MissingGradient => "missing gradient",
            ErrorKind::OutOfMemory => "out of memory",
            ErrorKind::DeviceLost => "device lost",
            ErrorKind::NonFinite => "non-finite",
            ErrorKind::Io => "io",
            ErrorKind::Format => "format",
            ErrorKind::Config => "config",
            ErrorKind::Tokenizer => "tokenizer",
            ErrorKind::Template => "template",
            ErrorKind::Image => "image",
            ErrorKind::Data => "data",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Backend => "backend",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What went wrong, where, and what to do. See the [module documentation](self).
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    op: Cow<'static, str>,
    message: String,
    context: Vec<(&'static str, String)>,
    path: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`, noticed by the operation `op` (`"matmul"`, `"load safetensors"`).
    ///
    /// The message names what was expected and what was found, without a full stop at its end.
    #[cold]
    pub fn new(kind: ErrorKind, op: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            op: op.into(),
            message: message.into(),
            context: Vec::new(),
            path: String::new(),
            hint: None,
            source: None,
        }))
    }

    /// An [`ErrorKind::Io`] error about `path`, with the system's reason as its source.
    #[cold]
    pub fn io(op: impl Into<Cow<'static, str>>, path: &std::path::Path, source: std::io::Error) -> Self {
        Error::new(ErrorKind::Io, op, format!("{}: {source}", path.display())).with_source(source)
    }

    /// Adds a named fact (`"expected"`, `"[2, 3]"`), shown by `Debug` and at the end of `Display`.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((key, value.to_string()));
        self
    }

    /// Says what the reader can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Keeps the error below this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Puts `segment` in front of the module path: called on the way out of nested modules, innermost first.
    #[must_use]
    pub fn at(mut self, segment: impl fmt::Display) -> Self {
        let path = &mut self.0.path;
        *path = if path.is_empty() { segment.to_string() } else { format!("{segment}.{path}") };
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation that noticed.
    pub fn op(&self) -> &str {
        &self.0.op
    }

    /// The message without operation, path and hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where in a model, dot-separated; empty outside of one.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The named facts added with [`Error::with`].
    pub fn context(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.context.iter().map(|(key, value)| (*key, value.as_str()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { op, message, context, path, hint, .. } = &*self.0;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        write!(f, "{op}: {message}")?;
        for (i, (key, value)) in context.iter().enumerate() {
            write!(f, "{}{key}: {value}", if i == 0 { " (" } else { ", " })?;
        }
        if !context.is_empty() {
            f.write_str(")")?;
        }
        if let Some(hint) = hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, op, message, context, path, hint, source } = &*self.0;
        write!(f, "{kind} error in {op}: {message}")?;
        if !path.is_empty() {
            write!(f, "\n  at: {path}")?;
        }
        for (key, value) in context {
            write!(f, "\n  {key}: {value}")?;
        }
        if let Some(hint) = hint {
            write!(f, "\n  what to do: {hint}")?;
        }
        let mut next = source.as_deref().map(|s| s as &dyn StdError);
        while let Some(cause) = next {
            write!(f, "\n  caused by: {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|s| s as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_place_operation_facts_and_remedy() {
        let e = Error::new(ErrorKind::Shape, "matmul", "inner sizes 3 and 4 differ")
            .with("left", "[2, 3]")
            .with("right", "[4, 5]")
            .hint("transpose the right operand")
            .at("q_proj")
            .at("model.layers.3.self_attn");
        assert_eq!(
            e.to_string(),
            "model.layers.3.self_attn.q_proj: matmul: inner sizes 3 and 4 differ (left: [2, 3], right: [4, 5]); \
             transpose the right operand"
        );
        assert_eq!(e.kind(), ErrorKind::Shape);
        assert_eq!(std::mem::size_of::<Error>(), std::mem::size_of::<usize>());
    }

    #[test]
    fn debug_follows_the_chain_of_causes() {
        let cause = std::io::Error::other("disk on fire");
        let e = Error::io("save checkpoint", std::path::Path::new("out/a"), cause);
        assert!(format!("{e:?}").ends_with("caused by: disk on fire"), "{e:?}");
    }
}
