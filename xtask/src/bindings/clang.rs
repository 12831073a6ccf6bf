//! bindgen, and the libclang it needs.
//!
//! libclang comes as a Python wheel, so that the machine needs no LLVM. The wheel has no headers, and bindgen finds the library by an
//! environment variable: so C gets the few standard headers below, and bindgen runs in a process of its own.

use crate::run::{capture, check};
use crate::steps::python::pip;
use crate::workspace::path;
use anyhow::{Context, Result, bail, ensure};
use std::path::PathBuf;
use std::process::Command;

/// Where build-time inputs are kept that are not ours.
pub(crate) const INPUTS: &str = ".headers";
const LIBCLANG: &str = "18.1.1";

/// All that C's headers of types have to say, in the compiler's own terms.
const STANDARD: &[(&str, &str)] = &[
    ("stddef.h", "typedef __SIZE_TYPE__ size_t;\ntypedef __PTRDIFF_TYPE__ ptrdiff_t;\n#define NULL ((void *)0)\n"),
    ("stdbool.h", "#define bool _Bool\n#define true 1\n#define false 0\n"),
    (
        "stdint.h",
        "typedef __INT8_TYPE__ int8_t;\ntypedef __INT16_TYPE__ int16_t;\ntypedef __INT32_TYPE__ int32_t;\n\
         typedef __INT64_TYPE__ int64_t;\ntypedef __UINT8_TYPE__ uint8_t;\ntypedef __UINT16_TYPE__ uint16_t;\n\
         typedef __UINT32_TYPE__ uint32_t;\ntypedef __UINT64_TYPE__ uint64_t;\ntypedef __INTPTR_TYPE__ intptr_t;\n\
         typedef __UINTPTR_TYPE__ uintptr_t;\n",
    ),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// With the standard headers above alone.
    C,
    /// With those of the system's compiler.
    Cpp,
}

/// A header that is to become Rust.
#[derive(Debug)]
pub(crate) struct Translation {
    pub(crate) header: PathBuf,
    pub(crate) language: Language,
    /// Folders of further headers.
    pub(crate) include: Vec<PathBuf>,
    /// A regular expression: only what files with such paths declare is kept.
    pub(crate) files: String,
    /// Functions that are not kept.
    pub(crate) without: &'static [&'static str],
}

impl Translation {
    /// The Rust that bindgen prints.
    pub(crate) fn run(&self) -> Result<String> {
        let standard = tempfile::tempdir().context("making a folder for headers")?;
        let mut command = Command::new(std::env::current_exe().context("finding this program")?);
        command.arg(CHILD).arg(&self.header).arg(&self.files).arg(self.without.join("|"));
        command.env("LIBCLANG_PATH", library()?);
        match self.language {
            Language::C => {
                for (name, text) in STANDARD {
                    std::fs::write(standard.path().join(name), text).with_context(|| format!("writing {name}"))?;
                }
                // Whatever machine this is: the file is the same everywhere.
                command.args(["-x", "c", "-std=c11", "--target=x86_64-unknown-linux-gnu", "-nostdinc"]);
                command.arg("-isystem").arg(standard.path());
            }
            Language::Cpp => {
                command.args(["-x", "c++", "-std=c++17", "-idirafter"]).arg(compilers_own()?);
            }
        }
        for folder in &self.include {
            command.arg("-I").arg(folder);
        }
        let said = capture(&mut command)?;
        if said.code != Some(0) {
            bail!("bindgen cannot translate {}:\n{}", self.header.display(), said.stderr);
        }
        Ok(said.stdout)
    }
}

/// How this program is called to run bindgen.
pub(crate) const CHILD: &str = "run-bindgen";

/// Runs bindgen: the header, the files to keep, the functions to leave out, then clang's arguments.
pub(crate) fn child(arguments: &[String]) -> Result<String> {
    let [header, files, without, clang @ ..] = arguments else { bail!("this is for xtask itself") };
    let mut builder = bindgen::builder()
        .header(header)
        .clang_args(clang)
        .allowlist_file(files)
        .allowlist_recursively(false)
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .ctypes_prefix("::std::ffi")
        .rust_edition(bindgen::RustEdition::Edition2021)
        .generate_cstr(true)
        .layout_tests(false)
        .merge_extern_blocks(true)
        .sort_semantically(true)
        .disable_header_comment()
        .formatter(bindgen::Formatter::Prettyplease);
    if !without.is_empty() {
        builder = builder.blocklist_function(without);
    }
    Ok(builder.generate().context("running bindgen")?.to_string())
}

/// The headers that belong to the system's C++ compiler: those of clang itself do not come with its library.
fn compilers_own() -> Result<PathBuf> {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let said = capture(Command::new(compiler).arg("-print-file-name=include"))
        .context("a C++ compiler is needed (Debian: apt-get install g++)")?;
    Ok(said.stdout.trim().into())
}

/// The folder of libclang: what `LIBCLANG_PATH` says, else that of the wheel, which is fetched once.
fn library() -> Result<PathBuf> {
    if let Some(set) = std::env::var_os("LIBCLANG_PATH") {
        return Ok(set.into());
    }
    let folder = path(INPUTS).join(format!("libclang-{LIBCLANG}"));
    let native = folder.join("clang/native");
    if native.join("libclang.so").is_file() {
        return Ok(native);
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder).context("removing a libclang that is not whole")?;
    }
    check(
        pip()?
            .args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--target"])
            .arg(&folder)
            .arg(format!("libclang=={LIBCLANG}")),
    )
    .context(
        "fetching libclang, which bindgen needs, from the Python package index; or set LIBCLANG_PATH to a folder with libclang.so",
    )?;
    ensure!(native.join("libclang.so").is_file(), "the wheel of libclang {LIBCLANG} has no libclang.so");
    Ok(native)
}
