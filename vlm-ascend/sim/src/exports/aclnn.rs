//! Both phases of every operation of the table.

use crate::executor::{BOTH, Op, READ, WRITTEN, first_phase, second_phase};
use crate::ops;
use std::ffi::c_void;
use vlm_ascend_sys::{aclOpExecutor, aclnn_type, for_each_aclnn};

/// Takes an argument of the caller.
macro_rules! take {
    ($a:ident, $name:ident, tensor) => {
        $a.tensor(stringify!($name), $name, READ)?
    };
    ($a:ident, $name:ident, out) => {
        $a.tensor(stringify!($name), $name, WRITTEN)?
    };
    ($a:ident, $name:ident, inout) => {
        $a.tensor(stringify!($name), $name, BOTH)?
    };
    ($a:ident, $name:ident, opt_tensor) => {
        $a.optional(stringify!($name), $name, READ)?
    };
    ($a:ident, $name:ident, opt_out) => {
        $a.optional(stringify!($name), $name, WRITTEN)?
    };
    ($a:ident, $name:ident, opt_inout) => {
        $a.optional(stringify!($name), $name, BOTH)?
    };
    ($a:ident, $name:ident, tensors) => {
        $a.tensors(stringify!($name), $name as usize as u64)?
    };
    ($a:ident, $name:ident, scalar) => {
        $a.scalar(stringify!($name), $name as usize as u64)?
    };
    ($a:ident, $name:ident, ints) => {
        $a.ints(stringify!($name), $name as usize as u64)?
    };
    ($a:ident, $name:ident, opt_ints) => {
        $a.optional_ints(stringify!($name), $name as usize as u64)?
    };
    ($a:ident, $name:ident, bools) => {
        $a.bools(stringify!($name), $name as usize as u64)?
    };
    ($a:ident, $name:ident, dtype) => {
        $a.dtype(stringify!($name), $name)?
    };
    // Within the unsafe block of the function.
    ($a:ident, $name:ident, str) => {
        $a.text(stringify!($name), $name)?
    };
    ($a:ident, $name:ident, opt_str) => {
        $a.optional_text(stringify!($name), $name)?
    };
    ($a:ident, $name:ident, $number:ident) => {
        $name
    };
}

/// Hands it to the operation's function.
macro_rules! give {
    ($name:ident, tensor) => {
        &$name
    };
    ($name:ident, out) => {
        &$name
    };
    ($name:ident, inout) => {
        &$name
    };
    ($name:ident, opt_tensor) => {
        $name.as_ref()
    };
    ($name:ident, opt_out) => {
        $name.as_ref()
    };
    ($name:ident, opt_inout) => {
        $name.as_ref()
    };
    ($name:ident, tensors) => {
        &$name
    };
    ($name:ident, ints) => {
        &$name
    };
    ($name:ident, bools) => {
        &$name
    };
    ($name:ident, opt_ints) => {
        $name.as_deref()
    };
    ($name:ident, str) => {
        &$name
    };
    ($name:ident, opt_str) => {
        $name.as_deref()
    };
    ($name:ident, $value:ident) => {
        $name
    };
}

macro_rules! operations {
    ($($library:ident $since:literal $op:ident($($name:ident: $kind:ident),* $(,)?);)*) => {
        /// Library, first version and name of every operation.
        pub(crate) const OPERATIONS: &[(&str, u32, &str)] = &[$((stringify!($library), $since, stringify!($op))),*];
        $(
            const _: () = {
                static OP: Op = Op {
                    name: stringify!($op),
                    phases: [
                        concat!("aclnn", stringify!($op), "GetWorkspaceSize"),
                        concat!("aclnn", stringify!($op)),
                    ],
                };

                #[unsafe(export_name = concat!("sim_aclnn", stringify!($op), "GetWorkspaceSize"))]
                #[allow(clippy::too_many_arguments)] // The interface's.
                unsafe extern "C" fn plan(
                    $($name: aclnn_type!($kind),)*
                    workspace_size: *mut u64,
                    executor: *mut *mut aclOpExecutor,
                ) -> i32 {
                    // SAFETY: the caller passes null or places for results, and null or C strings.
                    unsafe {
                        first_phase(&OP, workspace_size, executor, |a| {
                            $(let $name = take!(a, $name, $kind);)*
                            ops::$op(&a.cx, $(give!($name, $kind)),*)
                        })
                    }
                }

                #[unsafe(export_name = concat!("sim_aclnn", stringify!($op)))]
                extern "C" fn run(workspace: *mut c_void, size: u64, executor: *mut aclOpExecutor, stream: *mut c_void) -> i32 {
                    let number = |p: *mut c_void| p as usize as u64;
                    second_phase(&OP, number(workspace), size, executor as usize as u64, number(stream))
                }
            };
        )*
    };
}

for_each_aclnn!(operations);
