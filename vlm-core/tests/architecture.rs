//! The rules of the code's shape that the compiler does not know: who may use whom, no backend's name above the contract,
//! files that fit a head.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What each module of the library may use, besides itself and the plain ones.
const MAY_USE: &[(&str, &[&str])] = &[
    ("backend", &["random"]),
    // The numbers themselves; which a backend draws is part of the contract.
    ("random", &["backend"]),
    ("tensor", &["backend", "random", "autograd"]),
    ("autograd", &["backend", "random", "tensor"]),
    ("conformance", &["backend", "random", "tensor", "autograd"]),
    ("nn", &["backend", "random", "tensor", "autograd"]),
    ("weights", &["backend", "tensor", "nn"]),
    ("hub", &["weights"]),
    ("vision", &["backend", "tensor", "weights", "data"]),
    ("text", &["tensor", "weights", "data"]),
    ("data", &["tensor", "weights", "vision"]),
    ("models", &["backend", "tensor", "autograd", "nn", "weights", "vision", "text"]),
    ("generate", &["backend", "random", "tensor", "autograd", "nn", "weights", "models", "vision", "text", "data"]),
    ("lora", &["backend", "random", "tensor", "autograd", "nn", "weights", "models"]),
    (
        "train",
        &["backend", "random", "tensor", "autograd", "nn", "weights", "models", "lora", "data", "text", "vision"],
    ),
];
/// Plain data that every module may use. They use each other only.
const PLAIN: &[&str] = &["dtype", "error", "layout", "shape"];
/// Code that must work on every device, hence names none.
const DEVICE_FREE: &[&str] =
    &["tensor", "autograd", "nn", "models", "generate", "lora", "train", "data", "text", "vision"];
const LONGEST_FILE: usize = 600;

fn library() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The workspace around this crate, or the crate alone where it was taken out of it.
fn workspace() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let above = own.join("..");
    let manifest = std::fs::read_to_string(above.join("Cargo.toml")).unwrap_or_default();
    if manifest.contains("[workspace]") && manifest.contains("vlm-core") { above } else { own.to_path_buf() }
}

/// All files below `dir` with one of the endings, without what is built, fetched or written by programs.
fn files(dir: &Path, endings: &[&str]) -> Vec<PathBuf> {
    const SKIPPED: [&str; 8] = ["target", "outputs", "vendor", ".git", ".venv", ".libtorch", "corpus", "node_modules"];
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_dir() && !SKIPPED.contains(&&*name) {
            found.extend(files(&path, endings));
        } else if kind.is_file() && endings.iter().any(|e| name.ends_with(e)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The module a file of the library belongs to, if it is not the root.
fn module(file: &Path) -> Option<String> {
    let inside = file.strip_prefix(library()).unwrap();
    let first = inside.iter().next().unwrap().to_string_lossy().into_owned();
    let name = first.strip_suffix(".rs").unwrap_or(&first);
    (name != "lib").then(|| name.to_owned())
}

fn is_test(file: &Path) -> bool {
    file.iter().any(|part| part == "tests" || part == "tests.rs" || part == "testing.rs")
}

/// The code of a file: no comments, no tests.
fn code(file: &Path) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|w| w[0].starts_with("#[cfg(test)]") && w[1].starts_with("mod tests"));
    let kept = lines[..tests.unwrap_or(lines.len())].iter().enumerate();
    kept.filter(|(_, l)| !l.trim_start().starts_with("//")).map(|(i, l)| (i + 1, (*l).to_owned())).collect()
}

/// The first names of all paths that begin with `crate::`, groups taken apart.
fn used(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let group = rest.strip_prefix('{');
        let (mut depth, mut start) = (0, true);
        let mut name = String::new();
        for c in group.unwrap_or(rest).chars() {
            if start && (c.is_alphanumeric() || c == '_') {
                name.push(c);
                continue;
            }
            start &= name.is_empty() && c.is_whitespace();
            if !name.is_empty() {
                names.insert(std::mem::take(&mut name));
            }
            match (group, c) {
                (None, _) => break,
                (_, '{') => depth += 1,
                (_, '}') if depth == 0 => break,
                (_, '}') => depth -= 1,
                (_, ',') if depth == 0 => start = true,
                _ => {}
            }
        }
    }
    names
}

/// The module that a name at the root of the crate stands for.
fn home(name: &str) -> Option<&str> {
    match name {
        "Tensor" => Some("tensor"),
        "Device" => Some("backend"),
        _ if name.starts_with(char::is_uppercase) => None,
        _ => Some(name),
    }
}

#[test]
fn modules_use_only_those_below_them() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let modules: BTreeSet<String> = files(&library(), &[".rs"]).iter().filter_map(|f| module(f)).collect();
    let mut wrong = Vec::new();
    for file in files(&library(), &[".rs"]).iter().filter(|f| !is_test(f)) {
        let Some(own) = module(file) else { continue };
        if !PLAIN.contains(&&*own) && !allowed.contains_key(&*own) {
            wrong.push(format!("{own} has no line in MAY_USE"));
            continue;
        }
        let code: String = code(file).into_iter().map(|(_, line)| line + "\n").collect();
        for name in used(&code) {
            let Some(target) = home(&name).filter(|t| modules.contains(*t)) else { continue };
            let fine =
                target == own || PLAIN.contains(&target) || allowed.get(&*own).is_some_and(|a| a.contains(&target));
            if !fine {
                wrong.push(format!("{}: {own} must not use {target}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(modules.len() >= 15, "the library's modules were not found: {modules:?}");
}

#[test]
fn paths_are_taken_apart() {
    let code = "use crate::{Error, nn::{Linear, Param}, tensor};\nuse crate::lora::files;\nlet x = crate::dtype::F32;";
    assert_eq!(used(code).into_iter().collect::<Vec<_>>(), ["Error", "dtype", "lora", "nn", "tensor"]);
}

#[test]
fn nothing_above_the_contract_names_a_backend() {
    const NAMES: [&str; 9] =
        ["\"cpu", "\"cuda", "\"ascend", "\"ref\"", "\"torch-cpu", "vlm_cpu", "vlm_cuda", "vlm_ascend", "is_cuda"];
    let mut wrong = Vec::new();
    for file in files(&library(), &[".rs"]).iter().filter(|f| !is_test(f)) {
        if !module(file).is_some_and(|m| DEVICE_FREE.contains(&&*m)) {
            continue;
        }
        for (number, line) in code(file) {
            if let Some(name) = NAMES.iter().find(|n| line.contains(*n)) {
                wrong.push(format!("{}:{number} names {name}: the contract is missing something", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn backend_crates_do_not_know_each_other() {
    const BACKENDS: [&str; 3] = ["vlm-cpu", "vlm-cuda", "vlm-ascend"];
    for own in BACKENDS {
        let Ok(manifest) = std::fs::read_to_string(workspace().join(own).join("Cargo.toml")) else { continue };
        for other in BACKENDS.iter().filter(|b| **b != own) {
            let depends = manifest.lines().any(|l| l.trim_start().starts_with(other));
            assert!(!depends, "{own} depends on {other}");
        }
    }
    let own = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    assert!(!BACKENDS.iter().any(|b| own.lines().any(|l| l.trim_start().starts_with(b))), "core depends on a backend");
}

#[test]
fn files_are_short() {
    let long: Vec<String> = files(&workspace(), &[".rs"])
        .into_iter()
        .filter(|f| !f.iter().any(|part| part == "generated.rs" || part == "bindings.rs"))
        .map(|f| (std::fs::read_to_string(&f).unwrap().lines().count(), f))
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .map(|(lines, f)| format!("{} has {lines} lines, at most {LONGEST_FILE} are allowed", f.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn nothing_names_a_path_of_one_machine() {
    // Taken apart, so that this file does not find itself.
    let paths = [["/ho", "me/"], ["/ro", "ot/"], ["/Us", "ers/"], ["C:", "\\"], ["/wo", "rk/"]].map(|p| p.concat());
    let mut wrong = Vec::new();
    for file in files(&workspace(), &[".rs", ".toml", ".md", ".py", ".sh"]) {
        let text = std::fs::read_to_string(&file).unwrap();
        for (i, line) in text.lines().enumerate() {
            if let Some(path) = paths.iter().find(|p| line.contains(&**p)) {
                wrong.push(format!("{}:{} contains {path}", file.display(), i + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
