//! The shim's functions, as `shim/npu_torch.cpp` has them.

use super::search::Stays;
use std::ffi::{c_char, c_int, c_void};

/// Where a function writes its message, and the room there.
type To = *mut c_char;

macro_rules! functions {
    ($($field:ident = $name:literal: $type:ty;)*) => {
        /// Every function of the shim. They live as long as the process: the library is never unloaded.
        #[derive(Debug)]
        pub(super) struct Functions {
            $(pub(super) $field: $type,)*
        }

        impl Functions {
            /// # Safety
            /// The library's functions of these names have these types.
            pub(super) unsafe fn find(library: &Stays) -> std::result::Result<Self, &'static str> {
                Ok(Functions {
                    // SAFETY: the caller's promise.
                    $($field: unsafe { *library.get::<$type>($name.as_bytes()).map_err(|_| $name)? },)*
                })
            }
        }
    };
}

functions! {
    interface = "vlm_npu_interface": unsafe extern "C" fn() -> c_int;
    versions = "vlm_npu_versions": unsafe extern "C" fn(*mut u64, *mut u64);
    load_python = "vlm_npu_load_python": unsafe extern "C" fn(*const c_char, *const c_char, To, usize) -> c_int;
    load_library = "vlm_npu_load_library": unsafe extern "C" fn(*const c_char, c_int, To, usize) -> c_int;
    finish = "vlm_npu_finish": unsafe extern "C" fn(To, usize) -> c_int;
    device_count = "vlm_npu_device_count": unsafe extern "C" fn(*mut c_int, To, usize) -> c_int;
    set_device = "vlm_npu_set_device": unsafe extern "C" fn(c_int, To, usize) -> c_int;
    synchronize = "vlm_npu_synchronize": unsafe extern "C" fn(c_int, To, usize) -> c_int;
    to_device = "vlm_npu_to_device": unsafe extern "C" fn(*const c_void, c_int, *mut *mut c_void, To, usize) -> c_int;
    to_cpu = "vlm_npu_to_cpu": unsafe extern "C" fn(*const c_void, *mut *mut c_void, To, usize) -> c_int;
    copy = "vlm_npu_copy": unsafe extern "C" fn(*mut c_void, *const c_void, To, usize) -> c_int;
    empty = "vlm_npu_empty":
        unsafe extern "C" fn(*const i64, usize, c_int, c_int, *mut *mut c_void, To, usize) -> c_int;
    device_of = "vlm_npu_device_of": unsafe extern "C" fn(*const c_void, *mut c_int, To, usize) -> c_int;
    free = "vlm_npu_free": unsafe extern "C" fn(*mut c_void);
    memory_stats = "vlm_npu_memory_stats": unsafe extern "C" fn(c_int, *mut u64, To, usize) -> c_int;
    empty_cache = "vlm_npu_empty_cache": unsafe extern "C" fn(To, usize) -> c_int;
}
