//! Model folders by path or by id.

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::path::PathBuf;
use vlm_core::hub::{HubOptions, resolve_with};

/// The folder of a model: the folder itself, or that of an id in the cache. Programs built with the feature `download`
/// fetch what is not there.
///
/// # Errors
/// If there is neither: the error says where was looked and what to do.
pub fn model_folder(spec: &str, revision: Option<&str>) -> Result<PathBuf> {
    let mut options = HubOptions::from_env();
    if let Some(revision) = revision {
        revision.clone_into(&mut options.revision);
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let found = resolve_with(spec, &options, &mut |progress| {
        // Nothing is shown until something is fetched.
        bar.set_draw_target(ProgressDrawTarget::stderr());
        bar.set_message(format!("{} ({} of {})", progress.file, progress.number, progress.files));
        bar.set_length(progress.size.unwrap_or(0));
        bar.set_position(progress.done);
    });
    bar.finish_and_clear();
    Ok(found?)
}
