//! `vlm-ascend/sys/src/bindings.rs`: what bindgen makes of the header there, with a macro in place of functions to link.

pub(crate) mod clang;

use crate::workspace::path;
use anyhow::{Result, ensure};
use clang::{Language, Translation};

/// The file that is made.
pub(crate) const FILE: &str = "vlm-ascend/sys/src/bindings.rs";
/// The header it is made from.
pub(crate) const HEADER: &str = "vlm-ascend/sys/include/vlm_ascend.h";

/// Functions that Rust does not call: one with a variable number of arguments has no place in a list of types.
const LEFT_OUT: &[&str] = &["aclAppLog"];

const HEAD: &str = "\
//! Types, constants and functions of AscendCL, the base of aclnn and HCCL.
// Made by `cargo xtask regenerate` from include/vlm_ascend.h: change that.

use std::ffi::{c_char, c_int, c_void};

";

/// The text of the file.
pub(crate) fn make() -> Result<String> {
    let translation = Translation {
        header: path(HEADER),
        language: Language::C,
        include: Vec::new(),
        files: r".*/vlm_ascend/\w+\.h".to_owned(),
        without: LEFT_OUT,
    };
    rewrite(&translation.run()?)
}

fn rewrite(text: &str) -> Result<String> {
    const BLOCK: &str = "unsafe extern \"C\" {\n";
    ensure!(text.matches(BLOCK).count() == 1, "bindgen did not put all functions into one block");
    let text = text.replace(BLOCK, "crate::functions! {\n").replace("::std::ffi::c_", "c_");
    // bindgen takes enums without negative numbers for unsigned. One type for all is easier to use and has the same size; the header
    // has no other `unsigned int`.
    let text = text.replace("c_uint", "c_int");
    Ok(HEAD.to_owned() + &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_become_arguments_of_the_macro() {
        let made =
            rewrite("pub type aclrtMemcpyKind = ::std::ffi::c_uint;\nunsafe extern \"C\" {\n    pub fn f();\n}\n");
        let made = made.expect("one block");
        assert!(
            made.ends_with("pub type aclrtMemcpyKind = c_int;\ncrate::functions! {\n    pub fn f();\n}\n"),
            "{made}"
        );
        assert!(rewrite("pub type a = u8;").is_err());
    }
}
