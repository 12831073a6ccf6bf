//! Names of models and of their versions, checked before they become parts of paths and addresses.

use crate::{Error, ErrorKind, Result};
use std::fmt;

const OP: &str = "model id";
/// Longest name of an owner or a model.
const LONGEST_NAME: usize = 96;
/// Longest name of a branch or tag.
const LONGEST_REVISION: usize = 255;
/// Digits of a commit.
const COMMIT: usize = 40;
/// Fewer digits than this are never taken for the beginning of a commit.
const SHORTEST_COMMIT: usize = 5;

/// The id of a model: `owner/name`, or `name` alone for a few old ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId(String);

impl ModelId {
    /// Checks an id by the rules of `huggingface_hub`: one slash at the most; owner and name of 1 to 96 characters out of
    /// ASCII letters, digits, `-`, `_` and `.`, neither beginning nor ending with `-` or `.`; no `--`, no `..`, no `.git`
    /// at the end.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the id and the rule.
    pub fn parse(id: &str) -> Result<Self> {
        let fail = |rule: &str| {
            let message = format!("{} is not the id of a model: {rule}", shown(id));
            Err(Error::new(ErrorKind::Config, OP, message).hint("ids look like Qwen/Qwen2-VL-2B-Instruct"))
        };
        if id.split('/').count() > 2 {
            return fail("it has more than one slash");
        }
        for part in id.split('/') {
            if part.is_empty() || part.len() > LONGEST_NAME {
                return fail("owner and name have 1 to 96 characters each");
            }
            if !part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
                return fail("only ASCII letters, digits, '-', '_' and '.' may be in it");
            }
            if part.starts_with(['-', '.']) || part.ends_with(['-', '.']) {
                return fail("neither owner nor name may begin or end with '-' or '.'");
            }
        }
        if id.contains("--") || id.contains("..") {
            return fail("'--' and '..' may not be in it");
        }
        if id.ends_with(".git") {
            return fail("it may not end with '.git'");
        }
        Ok(ModelId(id.to_owned()))
    }

    /// The id as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the model's folder in a cache: `models--owner--name`.
    pub fn folder(&self) -> String {
        format!("models--{}", self.0.replace('/', "--"))
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A version of a model: a branch, a tag, or a commit, whole or abbreviated.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Revision(String);

impl Revision {
    /// Checks a revision by the rules that git has for names. Slashes are fine (`refs/pr/4`).
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the revision.
    pub fn parse(revision: &str) -> Result<Self> {
        let odd = |c: char| c.is_ascii_control() || c == ' ' || "~^:?*[\\\"<>|".contains(c);
        let part = |p: &str| !p.is_empty() && !p.starts_with('.') && !p.ends_with('.') && !p.ends_with(".lock");
        let fine = revision.len() <= LONGEST_REVISION
            && revision.split('/').all(part)
            && !revision.contains(odd)
            && !revision.contains("..")
            && !revision.contains("@{")
            && !revision.starts_with('-')
            && revision != "@";
        if !fine {
            let message = format!("{} is not a revision", shown(revision));
            return Err(Error::new(ErrorKind::Config, OP, message).hint("give a branch, a tag or a commit, like main"));
        }
        Ok(Revision(revision.to_owned()))
    }

    /// The revision as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The commit, in lower case, if the revision is a whole one.
    pub fn commit(&self) -> Option<String> {
        is_commit(&self.0).then(|| self.0.to_ascii_lowercase())
    }

    /// The beginning of a commit, in lower case, if the revision may be one: 5 to 39 hexadecimal digits.
    pub fn short_commit(&self) -> Option<String> {
        let short = (SHORTEST_COMMIT..COMMIT).contains(&self.0.len());
        (short && self.0.bytes().all(|b| b.is_ascii_hexdigit())).then(|| self.0.to_ascii_lowercase())
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text is a whole commit: 40 hexadecimal digits.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == COMMIT && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A text for a message: quoted, control characters escaped, cut where it is long.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 120;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{:?}…", &text[..at]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_huggingface_hub() {
        let long = "a".repeat(96);
        for (id, folder) in [
            ("Qwen/Qwen2-VL-2B-Instruct", "models--Qwen--Qwen2-VL-2B-Instruct"),
            ("gpt2", "models--gpt2"),
            ("123", "models--123"),
            ("_a_/Foo-BAR_foo.bar123", "models--_a_--Foo-BAR_foo.bar123"),
            (&format!("{long}/{long}"), &format!("models--{long}--{long}")),
        ] {
            let parsed = ModelId::parse(id).unwrap();
            assert_eq!((parsed.as_str(), &*parsed.folder()), (id, folder));
        }
        for (id, says) in [
            ("", "1 to 96"),
            ("a/", "1 to 96"),
            ("/a", "1 to 96"),
            (&format!("a/{long}a"), "1 to 96"),
            ("datasets/a/b", "more than one slash"),
            ("..", "begin or end"),
            ("a/..", "begin or end"),
            (".a/b", "begin or end"),
            ("a/b-", "begin or end"),
            ("-a/b", "begin or end"),
            ("a./b", "begin or end"),
            ("a--b/c", "'--'"),
            ("a/b..c", "'..'"),
            ("a/b.git", ".git"),
            ("a/b c", "ASCII"),
            ("a\\b", "ASCII"),
            ("a/b\0", "ASCII"),
            ("a/é", "ASCII"),
            ("a:b", "ASCII"),
        ] {
            let e = ModelId::parse(id).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Config);
            assert!(e.to_string().contains(says), "{id:?}: {e}");
        }
    }

    #[test]
    fn revisions_never_leave_their_folder() {
        for fine in ["main", "refs/pr/4", "v1.0", "feature/a-b_c", "0123456", "a@b", "é"] {
            assert_eq!(Revision::parse(fine).unwrap().as_str(), fine);
        }
        let long = "a".repeat(256);
        let bad = [
            "", "/", "/main", "main/", "a//b", ".", "..", "a/../b", "a/.b", ".a", "a.", "a.lock", "a..b", "a b",
            "a\\b", "a:b", "a\n", "a\0", "a~1", "a^", "@", "a@{1}", "-a", "a*", "C:/x", &long,
        ];
        for bad in bad {
            let e = Revision::parse(bad).unwrap_err();
            assert!(e.kind() == ErrorKind::Config && e.to_string().contains("not a revision"), "{bad:?}: {e}");
        }
    }

    #[test]
    fn commits_are_told_from_branches() {
        let whole = "0123456789ABCDEF0123456789abcdef01234567";
        let r = |text: &str| Revision::parse(text).unwrap();
        assert_eq!(r(whole).commit().unwrap(), whole.to_ascii_lowercase());
        assert_eq!((r(whole).short_commit(), r("main").commit(), r("main").short_commit()), (None, None, None));
        assert_eq!((r("ABCDE").short_commit().as_deref(), r("abcd").short_commit()), (Some("abcde"), None));
    }
}
