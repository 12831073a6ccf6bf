//! Checks that every configuration must pass before anything is allocated.

use crate::{Error, ErrorKind, Result};

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

pub(super) fn wrong(section: &str, message: String) -> Error {
    Error::new(ErrorKind::Config, "config.json", message).with("section", section)
}
