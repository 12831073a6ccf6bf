//! How far a download is.

/// What a download does at the moment. Given to the callback of [`resolve_with`](super::resolve_with) when a file begins
/// and with every piece of it that arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The file that is being fetched.
    pub file: String,
    /// Its place among the files, from 1.
    pub number: usize,
    /// How many files there are.
    pub files: usize,
    /// Bytes of this file that are on the disk, those of earlier attempts included.
    pub done: u64,
    /// The size of this file in bytes, if the server said it.
    pub size: Option<u64>,
}
