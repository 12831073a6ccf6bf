//! Checks that every configuration must pass before anything is allocated.

use crate::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Bounds of what a configuration may ask for: far above any published model, far below what would exhaust a machine
/// before the weights are even looked at.
#[derive(Clone, Copy, Debug)]
pub struct Limits;

impl Limits {
    /// Checks sizes: each must be in `1..=max`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming field, value and bound.
    pub fn sizes(section: &str, fields: &[(&str, usize, usize)]) -> Result<()> {
        for (field, value, max) in fields {
            if *value == 0 || value > max {
                return Err(wrong(section, format!("{field} is {value}, expected 1 to {max}")));
            }
        }
        Ok(())
    }

    /// Checks that `value` is a positive, finite number.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the field.
    pub fn positive(section: &str, field: &str, value: f64) -> Result<()> {
        if value.is_finite() && value > 0.0 {
            return Ok(());
        }
        Err(wrong(section, format!("{field} is {value}, expected a positive number")))
    }

    /// Checks that `a` is a multiple of `b`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming both.
    pub fn multiple(section: &str, (a_name, a): (&str, usize), (b_name, b): (&str, usize)) -> Result<()> {
        if b > 0 && a.is_multiple_of(b) {
            return Ok(());
        }
        Err(wrong(section, format!("{a_name} {a} is no multiple of {b_name} {b}")))
    }
}

/// Most patches or tokens that one picture may have: those of published models stay below ten thousand.
pub(super) const MAX_TOKENS: usize = 1 << 20;

/// A section of a configuration, or what is wrong with it, the path of the field first.
pub(super) fn section<C: DeserializeOwned>(given: &Value) -> Result<C, String> {
    serde_path_to_error::deserialize(given).map_err(|e| at_path(&e))
}

/// As [`section`], inside of the deserialiser of a larger part.
pub(super) fn section_of<C: DeserializeOwned, E: serde::de::Error>(given: &Value) -> Result<C, E> {
    section(given).map_err(E::custom)
}

/// The message of an error with the path of the field before it, types named as people name them.
pub(super) fn at_path(e: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let path = e.path().to_string();
    let mut what = e.inner().to_string();
    for (rust, plain) in [
        ("expected usize", "expected a whole number of at least 0"),
        ("expected u64", "expected a whole number of at least 0"),
        ("expected i64", "expected a whole number"),
        ("expected f64", "expected a number"),
        ("expected f32", "expected a number"),
        ("expected a boolean", "expected true or false"),
    ] {
        what = what.replace(rust, plain);
    }
    if path == "." { what } else { format!("{path}: {what}") }
}

pub(super) fn wrong(section: &str, message: String) -> Error {
    Error::new(ErrorKind::Config, "config.json", message).with("section", section)
}
