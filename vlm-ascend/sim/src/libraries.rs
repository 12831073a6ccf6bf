//! The libraries that programs load: `libascendcl.so` and its fellows, each with the symbols that it has in a version of CANN,
//! all forwarding to one core.
//!
//! They are made of a line of assembly per symbol by the C compiler that Rust links with, so that a set without a library or
//! without a symbol, or with the libraries split as newer versions have them, is made in a moment.

use crate::exports;
use std::fmt::Write;
use std::io;
use std::path::Path;
use std::process::Command;

/// Which set of libraries.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The libraries as they are since they were split: `libacl_rt.so`, `libacl_mdl.so`, `libopapi_math.so` …, without the
    /// old `libascendcl.so` and `libopapi.so`.
    pub split: bool,
    /// The major version of CANN; operations that are newer are left out. 0 is the newest.
    pub cann: u32,
    /// Symbols to leave out. `aclnnX` leaves out both phases.
    pub without: Vec<String>,
    /// Libraries to leave out, as `libhccl.so`.
    pub without_libraries: Vec<String>,
}

/// A library and its symbols.
#[derive(Debug)]
pub struct Library {
    /// The file's name.
    pub name: &'static str,
    /// What it exports, in order.
    pub symbols: Vec<String>,
}

fn is_object(name: &str) -> bool {
    ["aclCreate", "aclDestroy", "aclGetView", "aclGetStorage", "aclSet", "aclInitTensor", "aclGetRaw"]
        .iter()
        .any(|p| name.starts_with(p))
        || ["aclGetFormat", "aclGetDataType", "aclnnInit", "aclnnFinalize"].contains(&name)
}

fn runtime_library(name: &str, split: bool) -> &'static str {
    match (split, name) {
        (_, n) if n.starts_with("Hccl") => "libhccl.so",
        (_, n) if n.starts_with("aclnnCalculate") => {
            if split {
                "libopapi_nn.so"
            } else {
                "libopapi.so"
            }
        }
        (_, n) if is_object(n) && exports::object::NAMES.contains(&n) || n.starts_with("aclnn") => "libnnopbase.so",
        (false, _) => "libascendcl.so",
        (true, n) if n.starts_with("aclmdl") && !n.starts_with("aclmdlRI") => "libacl_mdl.so",
        (true, _) => "libacl_rt.so",
    }
}

fn operator_library(library: &str, split: bool) -> &'static str {
    match (split, library) {
        (false, _) => "libopapi.so",
        (true, "math") => "libopapi_math.so",
        (true, "cv") => "libopapi_cv.so",
        (true, "transformer") => "libopapi_transformer.so",
        (true, _) => "libopapi_nn.so",
    }
}

/// The libraries of a set.
pub fn libraries(options: &Options) -> Vec<Library> {
    let mut found: Vec<Library> = Vec::new();
    let mut add = |library: &'static str, symbol: String| {
        if options.without.contains(&symbol) || options.without_libraries.iter().any(|l| l == library) {
            return;
        }
        match found.iter_mut().find(|l| l.name == library) {
            Some(l) => l.symbols.push(symbol),
            None => found.push(Library { name: library, symbols: vec![symbol] }),
        }
    };
    for name in exports::all().copied() {
        add(runtime_library(name, options.split), name.to_owned());
    }
    for &(library, since, op) in exports::aclnn::OPERATIONS {
        let left_out = options.without.iter().any(|w| w.strip_prefix("aclnn") == Some(op));
        if left_out || (options.cann > 0 && since > options.cann) {
            continue;
        }
        let library = operator_library(library, options.split);
        add(library, format!("aclnn{op}GetWorkspaceSize"));
        add(library, format!("aclnn{op}"));
    }
    found
}

/// The instruction that goes on at another symbol.
fn jump(symbol: &str) -> String {
    if cfg!(target_arch = "aarch64") { format!("b sim_{symbol}") } else { format!("jmp sim_{symbol}@PLT") }
}

fn assembly(library: &Library) -> String {
    let mut text = String::from(".text\n");
    for s in &library.symbols {
        let kind = if cfg!(target_arch = "aarch64") { "%function" } else { "@function" };
        // A String takes any text.
        let _ = writeln!(text, ".globl {s}\n.type {s},{kind}\n{s}:\n\t{}\n.size {s}, .-{s}", jump(s));
    }
    let kind = if cfg!(target_arch = "aarch64") { "%progbits" } else { "@progbits" };
    text + &format!(".section .note.GNU-stack,\"\",{kind}\n")
}

/// Writes the libraries of a set into `folder`, with a copy of `core`, the simulator built as `libvlm_ascend_sim.so`.
///
/// # Errors
/// Those of the file system and what the C compiler says.
pub fn write(folder: &Path, core: &Path, options: &Options) -> io::Result<Vec<Library>> {
    std::fs::create_dir_all(folder)?;
    let copy = folder.join("libvlm_ascend_sim.so");
    // Over a file that a running program has mapped nothing may be written.
    let fresh = folder.join(format!(".core.{}", std::process::id()));
    std::fs::copy(core, &fresh)?;
    std::fs::rename(&fresh, &copy)?;
    let all = libraries(options);
    for library in &all {
        let source = folder.join(format!("{}.s", library.name));
        let made = folder.join(format!(".{}.{}", library.name, std::process::id()));
        std::fs::write(&source, assembly(library))?;
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let output = Command::new(compiler)
            .args(["-shared", "-nostdlib", "-o"])
            .arg(&made)
            .arg(&source)
            .arg("-L")
            .arg(folder)
            // The core beside it, before any that LD_LIBRARY_PATH leads to: another build's would lack what this set forwards to.
            .args(["-lvlm_ascend_sim", "-Wl,-rpath,$ORIGIN", "-Wl,--disable-new-dtags", "-Wl,--no-as-needed"])
            .arg(format!("-Wl,-soname,{}", library.name))
            .output()?;
        std::fs::remove_file(&source)?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        std::fs::rename(&made, folder.join(library.name))?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(options: &Options) -> Vec<(&'static str, usize)> {
        libraries(options).iter().map(|l| (l.name, l.symbols.len())).collect()
    }

    #[test]
    fn sets_differ_as_the_versions_do() {
        let names = |o: &Options| symbols(o).iter().map(|(n, _)| *n).collect::<Vec<_>>();
        let old = names(&Options { cann: 8, ..Options::default() });
        assert!(old.contains(&"libascendcl.so") && old.contains(&"libopapi.so"), "{old:?}");
        let split = names(&Options { split: true, ..Options::default() });
        assert!(split.contains(&"libacl_rt.so") && split.contains(&"libopapi_math.so"), "{split:?}");
        assert!(!split.contains(&"libascendcl.so"));
        let has = |o: &Options, s: &str| libraries(o).iter().any(|l| l.symbols.iter().any(|x| x == s));
        assert!(has(&Options::default(), "aclnnRotaryPositionEmbedding"));
        assert!(!has(&Options { cann: 8, ..Options::default() }, "aclnnRotaryPositionEmbedding"));
        let without = Options { without: vec!["aclnnAdd".to_owned()], ..Options::default() };
        assert!(!has(&without, "aclnnAddGetWorkspaceSize") && has(&without, "aclnnAdds"));
    }
}
