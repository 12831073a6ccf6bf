//! Where `atc` is, and how it is called.

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// Where CANN is installed if nothing says otherwise.
const INSTALLED: [&str; 3] =
    ["/usr/local/Ascend/cann", "/usr/local/Ascend/ascend-toolkit/latest", "/usr/local/Ascend/latest"];

/// Every place where `atc` may be, the likeliest first.
fn places() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect();
    let homes = ["ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    for home in homes.chain(INSTALLED.map(PathBuf::from)) {
        found.extend([home.join("bin"), home.join("compiler/bin")]);
    }
    found
}

/// The program: the one asked for, or the first there is.
///
/// # Errors
/// If there is none, with what to do.
pub(crate) fn find(asked: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = asked {
        if !path.is_file() {
            bail!("--atc {}: there is no such program", path.display());
        }
        return Ok(path.to_path_buf());
    }
    let found = places().into_iter().map(|p| p.join("atc")).find(|p| p.is_file());
    match found {
        Some(path) => Ok(path),
        None => bail!(
            "there is no atc in PATH, under ASCEND_HOME_PATH or in /usr/local/Ascend. It comes with CANN's toolkit: install \
             that (and the kernels of the chip), source its set_env.sh, or name the program with --atc. It needs no NPU; \
             --print shows the command to run elsewhere"
        ),
    }
}

/// A command as one types it.
pub(crate) fn shown(program: &Path, arguments: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c);
    let quoted = |text: &str| match text.chars().all(plain) && !text.is_empty() {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    };
    let all: Vec<_> = [program.display().to_string()].iter().chain(arguments).map(|a| quoted(a)).collect();
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_a_shell_takes_them() {
        let arguments = ["--model=a b.onnx", "--dynamic_image_size=8,8;12,8", "--input_shape=x:-1,3", "it's", ""];
        let line = shown(Path::new("/opt/atc"), &arguments.map(str::to_owned));
        let expected = r"/opt/atc '--model=a b.onnx' '--dynamic_image_size=8,8;12,8' --input_shape=x:-1,3 'it'\''s' ''";
        assert_eq!(line, expected);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = find(Some(Path::new("no/such/atc"))).unwrap_err().to_string();
        assert!(error.contains("no/such/atc"), "{error}");
    }
}
