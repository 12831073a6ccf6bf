//! The operations' functions, found by name.

use std::ffi::{CStr, c_void};
use std::ptr::NonNull;
use vlm_ascend_sys::{aclOpExecutor, aclnn_type, for_each_aclnn};

/// The second phase of any operation: workspace, its size, executor, stream.
pub(crate) type RunPhase = unsafe extern "C" fn(*mut c_void, u64, *mut aclOpExecutor, *mut c_void) -> i32;

macro_rules! table {
    ($($library:ident $since:literal $op:ident($($name:ident: $kind:ident),* $(,)?);)*) => {
        /// First phases, which have each their own type.
        #[allow(non_camel_case_types)] // They have the operations' names.
        pub(crate) mod plan {
            use super::*;
            $(pub(crate) type $op =
                unsafe extern "C" fn($(aclnn_type!($kind),)* *mut u64, *mut *mut aclOpExecutor) -> i32;)*
        }

        /// The operations by number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Op {
            $($op,)*
        }

        /// Their names, as C strings for both phases and without a prefix.
        const NAMES: &[(&str, &str, &str)] = &[
            $((
                concat!("aclnn", stringify!($op), "GetWorkspaceSize\0"),
                concat!("aclnn", stringify!($op), "\0"),
                stringify!($op),
            ),)*
        ];
    };
}

for_each_aclnn!(table);

/// Both phases of every operation, where this CANN has them.
///
/// Kept as addresses: a table of as many types would be a function too large for the compiler to like.
pub(crate) struct Operations {
    found: Vec<Option<(NonNull<c_void>, NonNull<c_void>)>>,
}

// SAFETY: the addresses are functions, which any thread may call.
unsafe impl Send for Operations {}
// SAFETY: as above.
unsafe impl Sync for Operations {}

impl Operations {
    /// Looks all of them up.
    pub(super) fn load(find: &impl Fn(&CStr) -> Option<NonNull<c_void>>) -> Self {
        let name = |text: &'static str| CStr::from_bytes_with_nul(text.as_bytes()).unwrap_or_default();
        let both = |(plan, run, _): &(&'static str, &'static str, &str)| find(name(plan)).zip(find(name(run)));
        Operations { found: NAMES.iter().map(both).collect() }
    }

    /// The first phase's address and the second phase of an operation.
    pub(crate) fn phases(&self, op: Op) -> Option<(*mut c_void, RunPhase)> {
        let (plan, run) = self.found[op as usize]?;
        // SAFETY: the second phase of every operation has this type, and the symbol of this name is one.
        Some((plan.as_ptr(), unsafe { std::mem::transmute::<*mut c_void, RunPhase>(run.as_ptr()) }))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        NAMES.iter().position(|(_, _, n)| *n == name).is_some_and(|i| self.found[i].is_some())
    }
}
