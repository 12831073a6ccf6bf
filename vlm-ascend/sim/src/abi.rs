//! The types of exported functions' parameters: pointers that know what the interface lets one do with them.
//!
//! Values of these types are only made by callers from outside, who vouch for the pointers by calling the function as its
//! documentation says.

use crate::state::{Outcome, code, fail};
use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;

/// A handle of ours: never followed.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Ref(*const c_void);

impl Ref {
    /// The handle as a number; 0 for null.
    pub(crate) fn id(self) -> u64 {
        self.0 as usize as u64
    }
}

/// A place that the caller wants a result in.
#[repr(transparent)]
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    pub(crate) fn is_null(&self) -> bool {
        self.0.is_null()
    }

    /// Writes the result.
    pub(crate) fn put(self, value: T) -> Outcome {
        if self.0.is_null() {
            return fail(code::INVALID_PARAM, "the place for the result is null");
        }
        // SAFETY: not null, and the caller passed a place for a `T`, perhaps not aligned.
        unsafe { self.0.write_unaligned(value) };
        Ok(())
    }

    /// Writes results one after the other, into as many places as the caller said it has.
    pub(crate) fn put_all(self, values: impl Iterator<Item = T>) -> Outcome {
        if self.0.is_null() {
            return fail(code::INVALID_PARAM, "the place for the results is null");
        }
        for (i, value) in values.enumerate() {
            // SAFETY: not null, and the caller passed places for at least as many `T` as come, which was checked before.
            unsafe { self.0.add(i).write_unaligned(value) };
        }
        Ok(())
    }

    /// Writes the result if there is a place for it.
    pub(crate) fn offer(self, value: T) {
        if !self.0.is_null() {
            // SAFETY: as in `put`.
            unsafe { self.0.write_unaligned(value) };
        }
    }
}

impl Out<*mut c_void> {
    /// Writes a handle or a device address.
    pub(crate) fn put_handle(self, handle: u64) -> Outcome {
        self.put(handle as usize as *mut c_void)
    }
}

/// Values that the caller has somewhere, as many as another parameter says.
#[repr(transparent)]
pub(crate) struct Values<T>(*const T, PhantomData<T>);

impl<T: Copy> Values<T> {
    pub(crate) fn is_null(&self) -> bool {
        self.0.is_null()
    }

    /// The first `n`, or `None` where there are none though `n` is not 0.
    pub(crate) fn get(&self, n: u64) -> Option<Vec<T>> {
        if self.0.is_null() {
            return (n == 0).then(Vec::new);
        }
        // SAFETY: the caller passed `n` values behind the pointer, perhaps not aligned.
        Some((0..n as usize).map(|i| unsafe { self.0.add(i).read_unaligned() }).collect())
    }
}

/// A C string, or null.
#[repr(transparent)]
pub(crate) struct Text(*const c_char);

impl Text {
    pub(crate) fn get(&self) -> Option<String> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: not null, and the caller passed a C string.
        Some(unsafe { CStr::from_ptr(self.0) }.to_string_lossy().into_owned())
    }
}

/// Exports functions as `sim_<name>` and lists their names. The libraries that programs load forward to them.
macro_rules! exports {
    ($($(#[$note:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block)*) => {
        /// The names of what this module exports.
        pub(crate) const NAMES: &[&str] = &[$(stringify!($name)),*];
        $(
            $(#[$note])*
            #[unsafe(export_name = concat!("sim_", stringify!($name)))]
            pub(crate) extern "C" fn $name($($arg: $ty),*) $(-> $ret)? $body
        )*
    };
}
pub(crate) use exports;
