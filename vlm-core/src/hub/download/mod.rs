//! Fetching a model into the cache (feature `download`).
//!
//! 1. The server says which commit a revision is and which files it has.
//! 2. Of them we need configuration, tokenizer and templates (`*.json`, `*.jinja`, `*.txt`, `*.model`) and the weights that
//!    would be opened: `model.safetensors`, or what its index names. Other weights beside them, pickles, other formats and
//!    folders stay where they are.
//! 3. Each content is fetched into `blobs/<etag>.incomplete`, goes on there after an interruption, is checked, and takes its
//!    name; the snapshot links to it.
//! 4. `refs/<revision>` comes last: who finds it finds everything.
//!
//! TLS is rustls. It computes with the provider that the process has set as its default, with `ring` where it has set none;
//! building `ring` takes a C compiler.

mod address;
mod blob;
mod client;
mod credentials;
pub mod listing;
mod patience;
mod refusal;
mod snapshot;

use super::{HubOptions, HubSettings, ModelId, Progress, Revision, cache, cache_of};
use crate::{Error, ErrorKind, Result};
use blob::Wanted;
use cache::list;
use client::Client;
use listing::{Listing, Weights};
use snapshot::Layout;
use std::path::PathBuf;

const OP: &str = "download model";

/// Brings the cache up to date: asks the server which commit the revision is now, fetches what is not there yet, and gives
/// the folder. [`resolve`](super::resolve) does so only for a model that is not there.
///
/// # Errors
/// - [`ErrorKind::Config`] for what is not the id of a model, for settings that make no sense, and where
///   [`HubSettings::offline`] is set.
/// - [`ErrorKind::Io`] if the server cannot be reached, refuses, or has no such model; if the cache cannot be written.
/// - [`ErrorKind::Format`] if what came is not what was named.
/// - [`ErrorKind::Unsupported`] for a repository without weights in safetensors.
///
/// After an error, another call goes on where this one ended.
pub fn download(id: &str, options: &HubOptions, progress: &mut dyn FnMut(&Progress)) -> Result<PathBuf> {
    let (id, revision) = (ModelId::parse(id)?, Revision::parse(&options.revision)?);
    if options.settings.offline {
        return Err(Error::new(ErrorKind::Config, OP, format!("{id} cannot be fetched: downloads are switched off"))
            .hint("unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE"));
    }
    fetch(&id, &revision, &options.settings, progress)
}

pub(super) fn fetch(
    id: &ModelId,
    revision: &Revision,
    settings: &HubSettings,
    progress: &mut dyn FnMut(&Progress),
) -> Result<PathBuf> {
    let client = Client::new(settings)?;
    let listing = Listing::parse(&client.describe_model(id, revision)?)?;
    let named = |e: Error| e.with("model", id).with("revision", revision);
    let weights = listing.weights().map_err(named)?;
    let commit = Revision::parse(&listing.commit)?;
    let layout = Layout::make(cache_of(settings)?, id, &listing.commit, settings.symlinks)?;
    let mut job = Job { client: &client, id, commit: &commit, layout: &layout, progress, now: Progress::default() };

    let mut files: Vec<String> = listing.small().map(str::to_owned).collect();
    let index = match weights {
        Weights::One(file) => {
            files.push(file);
            None
        }
        // First, so that it is soon known how many files there are.
        Weights::Index(index) => {
            files.sort_by_key(|file| *file != index);
            Some(index)
        }
    };
    let mut at = 0;
    while let Some(file) = files.get(at).cloned() {
        at += 1;
        (job.now.number, job.now.files) = (at, files.len());
        job.get(&file)?;
        if index.as_ref() == Some(&file) {
            let shards = cache::shards(&layout.snapshot.join(&file))?;
            let absent: Vec<String> = shards.difference(&listing.files).cloned().collect();
            if !absent.is_empty() {
                let message = format!("{file} names files that the repository does not have: {}", list(&absent));
                return Err(named(Error::new(ErrorKind::Format, OP, message)).hint("tell the model's owner"));
            }
            files.extend(shards);
        }
    }
    let missing = cache::missing(&layout.snapshot)?;
    if !missing.is_empty() {
        let message = format!("{} lacks {} after the download", layout.snapshot.display(), list(&missing));
        return Err(named(Error::new(ErrorKind::Io, OP, message)).hint("does another program delete files there?"));
    }
    layout.note(revision, &listing.commit)?;
    Ok(layout.snapshot)
}

struct Job<'a> {
    client: &'a Client,
    id: &'a ModelId,
    commit: &'a Revision,
    layout: &'a Layout,
    progress: &'a mut dyn FnMut(&Progress),
    now: Progress,
}

impl Job<'_> {
    /// Makes sure that the snapshot has a file.
    fn get(&mut self, file: &str) -> Result<()> {
        if self.layout.has(file) {
            return Ok(());
        }
        let content = self.client.describe_file(self.id, self.commit, file)?;
        let Job { client, id, commit, layout, progress, now } = self;
        (now.file, now.done, now.size) = (file.to_owned(), 0, content.size);
        let wanted = Wanted { id, commit, file, content: &content };
        let mut done = |bytes| {
            now.done = bytes;
            progress(now);
        };
        let (blob, lock) = (layout.blob(&content.etag), layout.lock(&content.etag));
        blob::fetch(client, &wanted, &blob, &lock, &mut done)?;
        layout.link(file, &content.etag)
    }
}
