//! From the id of a model (`Qwen/Qwen2-VL-2B-Instruct`) to a folder that can be loaded.
//!
//! Models are looked up where Hugging Face's libraries keep them, and what is found is never changed. With the feature
//! `download`, a model that is not there is fetched into the same cache, which `huggingface_hub` then reads as its own.
//!
//! ```no_run
//! use vlm_core::hub::{HubOptions, resolve};
//!
//! let folder = resolve("Qwen/Qwen2-VL-2B-Instruct", &HubOptions::from_env())?;
//! let model = vlm_core::models::load(&folder, None, &vlm_core::Device::open("auto")?)?;
//! # Ok::<(), vlm_core::Error>(())
//! ```
//!
//! | part | what it does |
//! |---|---|
//! | [`settings`] | the environment as a value: cache, server, token, offline |
//! | [`id`] | ids and revisions, checked |
//! | [`progress`] | how far a download is |
//! | `download` | fetching what is missing (feature `download`) |

mod cache;
#[cfg(feature = "download")]
pub mod download;
pub mod id;
pub mod progress;
pub mod settings;

#[cfg(feature = "download")]
pub use download::download;
pub use id::{ModelId, Revision};
pub use progress::Progress;
pub use settings::{HubSettings, Network, Token};

use crate::{Error, ErrorKind, Result};
use cache::{Found, list};
use id::shown;
use std::path::{Path, PathBuf};

const OP: &str = "find model";

/// Which version of a model, and where to look for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubOptions {
    /// A branch, a tag, or a commit; at least 5 digits of one that is in the cache.
    pub revision: String,
    /// Cache, server, token.
    pub settings: HubSettings,
}

impl HubOptions {
    /// The revision `main` with the settings of the environment.
    pub fn from_env() -> Self {
        HubOptions::new(HubSettings::from_env())
    }

    /// The revision `main` with these settings.
    pub fn new(settings: HubSettings) -> Self {
        HubOptions { revision: "main".to_owned(), settings }
    }
}

/// The folder of a model. An existing folder is itself; an id is looked up in the cache and, with the feature `download`
/// and unless [`HubSettings::offline`] is set, fetched if it is not there or not whole. What the cache has is not compared
/// with the server: the function `download` does that.
///
/// # Errors
/// - [`ErrorKind::Io`] for a path that is no folder; for a model that is not there, saying where it was looked for and what
///   to do; for a snapshot that lacks files, naming them; with the feature, for a download that failed.
/// - [`ErrorKind::Config`] for what is neither a path nor an id, for a revision that is none or is ambiguous, and where no
///   cache is known.
/// - [`ErrorKind::Format`] for files of the cache, or answers of the server, that are not what they should be.
pub fn resolve(model: &str, options: &HubOptions) -> Result<PathBuf> {
    resolve_with(model, options, &mut |_| {})
}

/// As [`resolve`], telling `progress` about a download.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_with(model: &str, options: &HubOptions, progress: &mut dyn FnMut(&Progress)) -> Result<PathBuf> {
    let path = Path::new(model);
    if path.is_dir() {
        return Ok(path.to_path_buf());
    }
    let (id, revision) = (identify(model)?, Revision::parse(&options.revision)?);
    let cache = cache_of(&options.settings)?;
    let found = cache::find(cache, &id, &revision)?;
    if let Found::Whole(folder) = found {
        return Ok(folder);
    }
    #[cfg(feature = "download")]
    if !options.settings.offline {
        return download::fetch(&id, &revision, &options.settings, progress);
    }
    let _ = progress;
    Err(absent(&found, cache, &id, &revision, options.settings.offline))
}

/// The id in an argument that is no folder.
fn identify(model: &str) -> Result<ModelId> {
    let path = Path::new(model);
    let fail = |message: String| Error::new(ErrorKind::Io, OP, message);
    if path.exists() {
        let hint = "give the folder that holds config.json and the weights";
        return Err(fail(format!("{} is not a folder", path.display())).hint(hint));
    }
    if model.contains("://") {
        let message = format!("{} is an address, expected a folder or an id", shown(model));
        return Err(Error::new(ErrorKind::Config, OP, message).hint(
            "give what comes after the server's name, like Qwen/Qwen2-VL-2B-Instruct; HF_ENDPOINT names the server",
        ));
    }
    let drive = model.as_bytes().get(1) == Some(&b':') && model.as_bytes()[0].is_ascii_alphabetic();
    let is_path = model.starts_with(['/', '.', '~']) || model.contains('\\') || model.ends_with('/') || drive;
    if is_path {
        let error = fail(format!("the folder {} does not exist", shown(model)));
        let hint = if model.starts_with('~') {
            "check the path; ~ is replaced by the shell, and only where it is not quoted"
        } else {
            "check the path, or give the id of a model, like Qwen/Qwen2-VL-2B-Instruct"
        };
        return Err(match std::env::current_dir() {
            Ok(here) if path.is_relative() => error.with("seen from", here.display()),
            _ => error,
        }
        .hint(hint));
    }
    ModelId::parse(model).map_err(|e| {
        let message = format!("there is no folder {}, and {}", shown(model), e.message());
        Error::new(ErrorKind::Config, OP, message)
            .hint("give the folder of a model, or an id like Qwen/Qwen2-VL-2B-Instruct")
    })
}

fn cache_of(settings: &HubSettings) -> Result<&Path> {
    settings.cache.as_deref().ok_or_else(|| {
        Error::new(ErrorKind::Config, OP, "there is no home folder, so it is not known where models are kept")
            .hint("set HF_HOME to the folder for them, or give the folder of a model")
    })
}

/// What to do where a model is not there or not whole, and nothing can be downloaded.
fn absent(found: &Found, cache: &Path, id: &ModelId, revision: &Revision, offline: bool) -> Error {
    let (message, note) = match found {
        Found::Broken { folder, missing } => (
            format!("{id} is in the cache but lacks {}", list(missing)),
            Some(format!("snapshot: {}", folder.display())),
        ),
        Found::Nothing(note) => {
            let looked = cache::folder(cache, id);
            (format!("{id} is neither a folder nor in the cache: looked in {}", looked.display()), note.clone())
        }
        Found::Whole(folder) => (format!("{id} is in {}", folder.display()), None),
    };
    let message = note.map_or(message.clone(), |note| format!("{message}; {note}"));
    let which = if revision.as_str() == "main" { String::new() } else { format!(" --revision {revision}") };
    let fetch = format!(
        "download it with `hf download {id}{which}` (older: `huggingface-cli download {id}{which}`), or set HF_HOME or \
         HF_HUB_CACHE to where it is, or give the folder of a model"
    );
    let last = match (cfg!(feature = "download"), offline) {
        (true, _) => ", or unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE to have it downloaded",
        (false, false) => ", or build with the feature `download` of vlm-core to have it downloaded",
        (false, true) => {
            ", or build with the feature `download` of vlm-core and unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE to \
             have it downloaded"
        }
    };
    Error::new(ErrorKind::Io, OP, message).with("revision", revision).hint(fetch + last)
}
