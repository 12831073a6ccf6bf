//! A manifest that is accepted names files of its own folder only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vlm_core::train::checkpoint::{Manifest, SCHEMA};

fuzz_target!(|bytes: &[u8]| {
    let Ok(manifest) = Manifest::parse(bytes) else { return };
    assert_eq!(manifest.schema, SCHEMA);
    for (name, record) in &manifest.files {
        assert!(!name.is_empty() && !name.contains(['/', '\\', '\0']) && record.sha256.len() == 64);
    }
});
