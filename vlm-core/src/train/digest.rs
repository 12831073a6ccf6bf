//! What rows are made of, in one line: a resumed run must have the same.

use crate::data::{ImageRef, Part, Sample};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// SHA-256 over ids, messages and pictures of all rows and over `options`. Of picture files their name, length and time
/// of change count, not their content: reading all of it would take as long as an epoch.
pub(super) fn digest(samples: &[Sample], options: &str) -> String {
    let mut hash = Sha256::new();
    // Lengths keep the parts apart.
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    add(options.as_bytes());
    for sample in samples {
        add(sample.id.as_bytes());
        for message in &sample.messages {
            add(message.role.as_str().as_bytes());
            for part in &message.content {
                match part {
                    Part::Text(text) => add(text.as_bytes()),
                    Part::Image(i) => add(&(*i as u64).to_le_bytes()),
                }
            }
        }
        for image in &sample.images {
            match image {
                ImageRef::Path(path) => {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    let about = std::fs::metadata(path).ok();
                    let changed = about.as_ref().and_then(|m| m.modified().ok());
                    add(format!("{name} {:?} {changed:?}", about.map(|m| m.len())).as_bytes());
                }
                ImageRef::Bytes(bytes) => add(bytes),
                ImageRef::Raw { width, height, rgb } => {
                    add(&[width.to_le_bytes(), height.to_le_bytes()].concat());
                    add(rgb);
                }
            }
        }
    }
    hash.finalize().iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}
