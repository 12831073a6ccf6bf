//! What becomes of the prototypes: types of functions, and a struct of those that a process has found.

/// Makes [`signatures`](crate::signatures), [`Functions`](crate::Functions) and [`FUNCTION_NAMES`](crate::FUNCTION_NAMES) of
/// prototypes.
macro_rules! functions {
    ($(pub fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)?;)*) => {
        /// The functions' types, by their names.
        pub mod signatures {
            use super::*;
            $(pub type $name = unsafe extern "C" fn($($argument: $kind),*) $(-> $result)?;)*
        }

        /// The functions that were found. Which those are depends on the version of CANN.
        #[repr(C)]
        #[derive(Clone, Debug)]
        pub struct Functions {
            $(pub $name: Option<signatures::$name>,)*
        }

        /// The functions' names, in the order of the fields of [`Functions`].
        pub const FUNCTION_NAMES: &[&str] = &[$(stringify!($name)),*];

        impl Functions {
            /// Asks `find` for every function.
            ///
            /// # Safety
            /// What it returns for a name is a function of the type of that name in [`signatures`], and stays one as long as it may be
            /// called.
            pub unsafe fn load(
                find: &mut dyn FnMut(&'static ::std::ffi::CStr) -> Option<::std::ptr::NonNull<::std::ffi::c_void>>,
            ) -> Self {
                const NAMES: [&str; FUNCTION_NAMES.len()] = [$(concat!(stringify!($name), "\0")),*];
                // A function that fills so many fields by name would be large and slow to compile.
                let found = NAMES.map(|name| ::std::ffi::CStr::from_bytes_with_nul(name.as_bytes()).ok().and_then(&mut *find));
                // SAFETY: the struct is, by `repr(C)`, one optional function per name in the same order. Those and optional pointers
                // have the same size, null for none, and the caller vouches for what the pointers point to.
                unsafe { ::std::mem::transmute(found) }
            }
        }
    };
}
pub(crate) use functions;
