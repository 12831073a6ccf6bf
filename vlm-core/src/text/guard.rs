//! The tokenizers library panics on some malformed files; here that becomes an error.

use crate::{Error, ErrorKind, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `f`; a failure or a panic inside it becomes a tokenizer error of `op`.
pub(super) fn guarded<T>(op: &'static str, f: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(Error::new(ErrorKind::Tokenizer, op, e.to_string()).with_source(e)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Err(Error::new(
                ErrorKind::Tokenizer,
                op,
                format!("the tokenizer failed: {}", text.unwrap_or("no reason given")),
            )
            .hint("the tokenizer file contradicts itself; export it again with transformers"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_and_panics_become_errors() {
        let e = guarded::<()>("encode", || Err("no model".into())).unwrap_err();
        assert_eq!(e.to_string(), "encode: no model");
        let e = guarded::<()>("encode", || panic!("index {} is out", 3)).unwrap_err();
        assert!(e.to_string().contains("index 3 is out"), "{e}");
    }
}
