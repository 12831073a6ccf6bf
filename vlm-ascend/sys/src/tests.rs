use super::*;
use std::ffi::c_void;
use std::ptr::NonNull;

#[test]
fn functions_land_in_their_own_fields() {
    unsafe extern "C" fn count(to: *mut u32) -> aclError {
        // SAFETY: the test passes a number's address.
        unsafe { to.write(3) };
        ACL_SUCCESS
    }
    let address = NonNull::new(count as signatures::aclrtGetDeviceCount as *mut c_void);
    let mut asked = Vec::new();
    // SAFETY: the one function that is returned has the type of its name.
    let functions = unsafe {
        Functions::load(&mut |name| {
            asked.push(name.to_str().unwrap_or_default());
            if name == c"aclrtGetDeviceCount" { address } else { None }
        })
    };
    assert_eq!(asked, FUNCTION_NAMES);
    assert!(functions.aclInit.is_none() && functions.aclrtSetDevice.is_none() && functions.HcclBarrier.is_none());
    let mut n = 0;
    // SAFETY: it is the function above.
    assert_eq!(unsafe { functions.aclrtGetDeviceCount.expect("found")(&raw mut n) }, ACL_SUCCESS);
    assert_eq!(n, 3);
}

#[test]
fn structs_are_as_large_as_they_cross_the_border() {
    assert_eq!(size_of::<HcclRootInfo>(), 4108);
    assert_eq!(size_of::<aclmdlIODims>(), 128 + 8 + 128 * 8);
    assert_eq!(size_of::<aclmdlHW>(), 8 + 128 * 16);
    assert_eq!(size_of::<aclrtPhysicalMemProp>(), 32);
    assert_eq!(size_of::<aclCANNPackageVersion>(), 512);
    // Enums are ints whatever their values are.
    assert_eq!(size_of::<aclrtMemcpyKind>(), size_of::<std::ffi::c_int>());
    let (kind, policy): (std::ffi::c_int, std::ffi::c_int) = (ACL_MEMCPY_DEFAULT, ACL_MEM_MALLOC_HUGE_FIRST);
    assert_eq!((kind, policy), (4, 0));
}

#[test]
fn the_table_is_there_as_data() {
    let matmul = ACLNN.iter().find(|op| op.name == "Matmul").expect("in the table");
    assert_eq!((matmul.library, matmul.since), ("nn", 8));
    assert_eq!(matmul.arguments, [("x", "tensor"), ("mat2", "tensor"), ("out", "out"), ("cube_math_type", "i8")]);
    let mut names: Vec<_> = ACLNN.iter().map(|op| op.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ACLNN.len());
}
