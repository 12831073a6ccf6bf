//! Failures that are known.

/// Known failures: lines of a pattern and a reason, `grad/rope/bf16/*: the driver rounds twice`. `*` stands for any text;
/// empty lines and lines that begin with `#` are left out.
///
/// A test that matches and fails counts as passed; one that matches and passes is a failure, and so is a pattern that
/// matches no test.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    lines: Vec<(String, String)>,
}

impl Expected {
    /// Reads the lines.
    ///
    /// # Errors
    /// The line that has no reason.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
        let split = |line: &str| match line.split_once(": ") {
            Some((pattern, reason)) if !reason.trim().is_empty() => {
                Ok((pattern.trim().to_owned(), reason.trim().to_owned()))
            }
            _ => Err(format!("expected failure without a reason: {line:?}; write \"pattern: reason\"")),
        };
        Ok(Expected { lines: lines.map(split).collect::<Result<_, _>>()? })
    }

    /// Why a test is expected to fail.
    pub fn reason(&self, name: &str) -> Option<&str> {
        self.lines.iter().find(|(pattern, _)| matches(pattern, name)).map(|(_, reason)| reason.as_str())
    }

    /// Patterns that match none of these tests.
    pub fn unused<'a>(&'a self, names: &[String]) -> Vec<&'a str> {
        let unused = self.lines.iter().filter(|(pattern, _)| !names.iter().any(|n| matches(pattern, n)));
        unused.map(|(pattern, _)| pattern.as_str()).collect()
    }
}

/// Whether `name` is `pattern` with some text in the place of each `*`.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(tail) = name.strip_prefix(start) else { return false };
    (0..=tail.len()).filter(|&i| tail.is_char_boundary(i)).any(|i| matches(rest, &tail[i..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_reasons_and_leftovers() {
        let e = Expected::parse("# none\n\ngrad/rope/*: rounds twice\nforward/add/f32: broken adder\n").unwrap();
        assert_eq!(e.reason("grad/rope/bf16/usual"), Some("rounds twice"));
        assert_eq!(e.reason("forward/add/f32/usual"), None);
        assert_eq!(e.unused(&["grad/rope/x".to_owned()]), ["forward/add/f32"]);
        assert!(Expected::parse("grad/rope/*").is_err());
        assert!(matches("a*b*c", "a--b--c") && !matches("a*b*c", "a--c"));
    }
}
