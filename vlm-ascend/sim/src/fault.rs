//! Faults on request: a call that fails at its n-th time, a device that fails while it works.

/// `call#n=code`: the `n`-th call from now (from 1) returns `code`. For aclnn operations the names of both phases are meant
/// separately: `aclnnAddGetWorkspaceSize#1=161002`, `aclnnAdd#1=361001`. With `run:` before the name it is the work itself that
/// fails when the device comes to it, which the next synchronisation reports: `run:aclnnAdd#3=507015`. The name `*` is any call that gives nothing back:
/// a destroy or free that fails leaves the thing alive, which nobody can help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Injection {
    name: String,
    running: bool,
    left: u64,
    code: i32,
}

impl Injection {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (running, text) = match text.strip_prefix("run:") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (name, rest) = text.split_once('#')?;
        let (left, code) = rest.split_once('=')?;
        let (left, code) = (left.parse().ok().filter(|&n| n > 0)?, code.parse().ok()?);
        Some(Injection { name: name.to_owned(), running, left, code })
    }

    /// Counts a call of `name`; the code to fail with, if it is its turn.
    fn count(&mut self, name: &str, running: bool) -> Option<i32> {
        let named = if self.name == "*" { !gives_back(name) } else { self.name == name };
        if self.left == 0 || self.running != running || !named {
            return None;
        }
        self.left -= 1;
        (self.left == 0).then_some(self.code)
    }
}

/// Whether a call of this name ends something.
fn gives_back(name: &str) -> bool {
    ["Destroy", "Free", "Reset", "Release", "Unmap", "Unload", "Finalize"].iter().any(|w| name.contains(w))
}

/// Counts a call of `name`; the code that it has to fail with, if any.
pub(crate) fn due(faults: &mut [Injection], name: &str, running: bool) -> Option<i32> {
    faults.iter_mut().filter_map(|f| f.count(name, running)).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_call_fails_once() {
        let mut faults = vec![Injection::parse("aclrtMalloc#2=207001").unwrap()];
        let mut call = |name: &str, running| due(&mut faults, name, running);
        assert_eq!(call("aclrtMalloc", false), None);
        assert_eq!((call("aclrtFree", false), call("aclrtMalloc", true)), (None, None));
        assert_eq!(call("aclrtMalloc", false), Some(207_001));
        assert_eq!(call("aclrtMalloc", false), None);
        assert!(Injection::parse("aclrtMalloc#0=1").is_none());
    }
}
