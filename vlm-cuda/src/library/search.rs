//! Where libtorch may be.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where a library of this process came from.
pub(super) fn loaded(name: &str) -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let path =
        maps.lines().filter_map(|l| l.split_once('/')).map(|(_, p)| format!("/{p}")).find(|p| p.ends_with(name))?;
    Some(PathBuf::from(path))
}

/// `torch/lib` of a folder that may be it, its `torch`, or what holds `torch`.
fn lib(folder: &Path) -> PathBuf {
    let inside = ["torch/lib", "lib"].map(|p| folder.join(p));
    inside
        .into_iter()
        .find(|p| p.join("libtorch_cpu.so").exists() || p.join("libtorch_cuda.so").exists())
        .unwrap_or_else(|| folder.to_path_buf())
}

/// The folders in which the CUDA part is looked for, in this order. What the user names is the only one.
pub(super) fn folders() -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os("VLM_LIBTORCH") {
        return vec![lib(Path::new(&named))];
    }
    let mut found = Vec::new();
    // A link is followed: the CUDA part is beside the file itself.
    found.extend(loaded("libtorch_cpu.so").as_deref().and_then(Path::parent).map(Path::to_path_buf));
    let exe = std::env::current_exe().ok();
    found.extend(
        exe.as_deref().and_then(|e| Some(e.parent()?.parent()?.join("lib/vlm/torch/lib"))).filter(|p| p.exists()),
    );
    if !found.iter().any(|f| f.join("libtorch_cuda.so").exists()) {
        found.extend(of_python());
    }
    found
}

/// The folder of Python's torch. Nothing is imported: that would take seconds.
fn of_python() -> Option<PathBuf> {
    const ASK: &str =
        "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')";
    let out = Command::new("python3").args(["-c", ASK]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    let folder = text.trim();
    (!folder.is_empty()).then(|| Path::new(folder).join("lib")).filter(|p| p.exists())
}

/// The version of the torch that a library belongs to, where it says so.
pub(super) fn version_beside(library: &Path) -> Option<String> {
    let real = std::fs::canonicalize(library).ok()?;
    let torch = real.parent()?.parent()?;
    for (file, before) in [("version.py", "__version__ = '"), ("build-version", "")] {
        let Ok(text) = std::fs::read_to_string(torch.join(file)) else { continue };
        if let Some(rest) = text.split(before).nth(usize::from(!before.is_empty())) {
            return rest.split(['\'', '\n']).next().map(|v| v.trim().to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_lies_beside() {
        let dir = std::env::temp_dir().join(format!("vlm-version-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("torch/lib")).unwrap();
        let library = dir.join("torch/lib/libtorch_cuda.so");
        std::fs::write(&library, "").unwrap();
        assert_eq!(version_beside(&library), None);
        std::fs::write(dir.join("torch/version.py"), "x = 1\n__version__ = '2.9.1+cu128'\ndebug = False\n").unwrap();
        assert_eq!(version_beside(&library).as_deref(), Some("2.9.1+cu128"));
        assert_eq!(lib(&dir), dir.join("torch/lib"));
        assert_eq!(lib(&dir.join("torch")), dir.join("torch/lib"));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
