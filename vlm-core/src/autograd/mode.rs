//! Whether operations are recorded, per thread.

use std::cell::Cell;
use std::marker::PhantomData;

thread_local! {
    static ENABLED: Cell<bool> = const { Cell::new(true) };
}

/// Whether operations on this thread are recorded. On by default.
#[inline]
pub fn is_grad_enabled() -> bool {
    ENABLED.get()
}

/// Restores the former mode when dropped, also when a panic unwinds through it.
#[derive(Debug)]
#[must_use = "the mode lasts as long as the guard"]
pub struct NoGradGuard {
    before: bool,
    // A guard belongs to its thread.
    not_send: PhantomData<*const ()>,
}

impl NoGradGuard {
    /// Switches recording off on this thread.
    pub fn new() -> Self {
        Self::set(false)
    }

    fn set(enabled: bool) -> Self {
        NoGradGuard { before: ENABLED.replace(enabled), not_send: PhantomData }
    }
}

impl Default for NoGradGuard {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for NoGradGuard {
    fn drop(&mut self) {
        ENABLED.set(self.before);
    }
}

/// Runs `f` without recording: its results have no history and keep no operands alive.
///
/// ```
/// use vlm_core::{Device, Tensor, autograd};
/// let x = Tensor::from_slice(&[1.0f32, 2.0], [2], &Device::reference())?.requires_grad()?;
/// assert!(!autograd::no_grad(|| &x + &x)?.tracks_grad());
/// # Ok::<(), vlm_core::Error>(())
/// ```
pub fn no_grad<R>(f: impl FnOnce() -> R) -> R {
    let _guard = NoGradGuard::new();
    f()
}

/// Runs `f` with recording, also inside of [`no_grad`].
pub fn enable_grad<R>(f: impl FnOnce() -> R) -> R {
    let _guard = NoGradGuard::set(true);
    f()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_survives_panics_and_nests() {
        let caught = std::panic::catch_unwind(|| no_grad(|| panic!("inside")));
        assert!(caught.is_err() && is_grad_enabled());
        no_grad(|| {
            assert!(!is_grad_enabled());
            enable_grad(|| assert!(is_grad_enabled()));
            assert!(!is_grad_enabled());
            assert!(std::thread::spawn(is_grad_enabled).join().unwrap(), "other threads have their own mode");
        });
    }
}
