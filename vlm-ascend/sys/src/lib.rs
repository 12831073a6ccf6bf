//! Declarations of the part of AscendCL, aclnn and HCCL that vlm-ascend uses.
#![allow(non_camel_case_types, non_snake_case, missing_docs)]

mod aclnn;

macro_rules! opaque { ($($n:ident)*) => { $(#[repr(C)] #[derive(Debug)] pub struct $n { _unused: [u8; 0] })* } }
opaque!(aclTensor aclScalar aclIntArray aclFloatArray aclBoolArray aclTensorList aclScalarList aclOpExecutor);
pub type aclDataType = std::ffi::c_int;

macro_rules! functions {
    ($($(#[$m:meta])* pub fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?;)*) => {
        pub mod signatures { use super::*; $(pub type $name = unsafe extern "C" fn($($ty),*) $(-> $ret)?;)* }
        #[repr(C)]
        #[derive(Debug)]
        pub struct Functions { $(pub $name: Option<signatures::$name>,)* }
        pub const FUNCTION_NAMES: &[&str] = &[$(stringify!($name)),*];
        impl Functions {
            /// # Safety
            /// The pointers are functions of the declared types.
            pub unsafe fn load(find: &mut dyn FnMut(&'static std::ffi::CStr) -> Option<std::ptr::NonNull<c_void>>) -> Self {
                const N: usize = FUNCTION_NAMES.len();
                let mut found = [std::ptr::null_mut::<c_void>(); N];
                for (to, name) in found.iter_mut().zip([$(concat!(stringify!($name), "\0")),*]) {
                    let name = std::ffi::CStr::from_bytes_with_nul(name.as_bytes()).unwrap_or_default();
                    *to = find(name).map_or(std::ptr::null_mut(), std::ptr::NonNull::as_ptr);
                }
                // SAFETY: the struct is an optional function per name, in this order; null is none.
                unsafe { std::mem::transmute::<[*mut c_void; N], Functions>(found) }
            }
        }
    };
}
use std::ffi::{c_char, c_int, c_void};
functions! {
    pub fn aclInit(a: *const c_char) -> c_int;
    pub fn aclGetRecentErrMsg() -> *const c_char;
    pub fn aclsysGetVersionStr(a: *mut c_char, b: *mut c_char) -> c_int;
    pub fn aclrtGetSocName() -> *const c_char;
    pub fn aclrtGetDeviceCount(a: *mut u32) -> c_int;
    pub fn aclrtCreateContext(a: *mut *mut c_void, b: i32) -> c_int;
    pub fn aclrtDestroyContext(a: *mut c_void) -> c_int;
    pub fn aclrtSetCurrentContext(a: *mut c_void) -> c_int;
    pub fn aclrtCreateStream(a: *mut *mut c_void) -> c_int;
    pub fn aclrtDestroyStream(a: *mut c_void) -> c_int;
    pub fn aclrtSynchronizeStream(a: *mut c_void) -> c_int;
    pub fn aclrtMalloc(a: *mut *mut c_void, b: usize, c: c_int) -> c_int;
    pub fn aclrtFree(a: *mut c_void) -> c_int;
    pub fn aclrtMallocHost(a: *mut *mut c_void, b: usize) -> c_int;
    pub fn aclrtFreeHost(a: *mut c_void) -> c_int;
    pub fn aclrtMemcpyAsync(a: *mut c_void, b: usize, c: *const c_void, d: usize, e: c_int, f: *mut c_void) -> c_int;
    pub fn aclrtGetMemInfo(a: c_int, b: *mut usize, c: *mut usize) -> c_int;
    pub fn aclrtCreateEvent(a: *mut *mut c_void) -> c_int;
    pub fn aclrtDestroyEvent(a: *mut c_void) -> c_int;
    pub fn aclrtRecordEvent(a: *mut c_void, b: *mut c_void) -> c_int;
    pub fn aclrtQueryEventStatus(a: *mut c_void, b: *mut c_int) -> c_int;
    pub fn aclrtSynchronizeEvent(a: *mut c_void) -> c_int;
    pub fn aclrtCtxSetSysParamOpt(a: c_int, b: i64) -> c_int;
    pub fn aclCreateTensor(a: *const i64, b: u64, c: c_int, d: *const i64, e: i64, f: c_int, g: *const i64, h: u64, i: *mut c_void) -> *mut aclTensor;
    pub fn aclDestroyTensor(a: *const aclTensor) -> c_int;
    pub fn aclCreateScalar(a: *mut c_void, b: c_int) -> *mut aclScalar;
    pub fn aclDestroyScalar(a: *const aclScalar) -> c_int;
    pub fn aclCreateIntArray(a: *const i64, b: u64) -> *mut aclIntArray;
    pub fn aclDestroyIntArray(a: *const aclIntArray) -> c_int;
    pub fn aclCreateBoolArray(a: *const bool, b: u64) -> *mut aclBoolArray;
    pub fn aclDestroyBoolArray(a: *const aclBoolArray) -> c_int;
    pub fn aclCreateTensorList(a: *const *const aclTensor, b: u64) -> *mut aclTensorList;
    pub fn aclDestroyTensorList(a: *const aclTensorList) -> c_int;
    pub fn aclSetAclOpExecutorRepeatable(a: *mut aclOpExecutor) -> c_int;
    pub fn aclDestroyAclOpExecutor(a: *mut aclOpExecutor) -> c_int;
    pub fn aclSetInputTensorAddr(a: *mut aclOpExecutor, b: usize, c: *mut aclTensor, d: *mut c_void) -> c_int;
    pub fn aclSetOutputTensorAddr(a: *mut aclOpExecutor, b: usize, c: *mut aclTensor, d: *mut c_void) -> c_int;
}
