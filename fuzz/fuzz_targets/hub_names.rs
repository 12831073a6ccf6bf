//! Names that are accepted stay inside of their folders, and a server's list of files has plain names only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::{Component, Path};
use vlm_core::hub::download::listing::Listing;
use vlm_core::hub::{ModelId, Revision};

fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(n)), None) if n == name)
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(id) = ModelId::parse(text) {
            assert!(is_plain(&id.folder()) && id.folder().is_ascii());
        }
        if let Ok(revision) = Revision::parse(text) {
            assert!(Path::new(revision.as_str()).components().all(|c| matches!(c, Component::Normal(_))));
            assert!(!revision.as_str().contains(['\\', '\0', ':']));
        }
    }
    if let Ok(listing) = Listing::parse(bytes) {
        assert!(listing.commit.len() == 40 && listing.commit.bytes().all(|b| b.is_ascii_hexdigit()));
        for name in &listing.files {
            assert!(is_plain(name) && !name.contains('\\') && !name.starts_with('.'));
        }
    }
});
