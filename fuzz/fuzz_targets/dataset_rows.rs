//! Every row that is read shows each of its pictures and names none outside of its folder.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vlm_core::data::text_file::TextFile;
use vlm_core::data::{ImageRef, Message, row};

fuzz_target!(|bytes: &[u8]| {
    let Ok(dir) = tempfile::tempdir() else { return };
    let path = dir.path().join("rows");
    if std::fs::write(&path, bytes).is_err() {
        return;
    }
    let (Ok(file), Ok(root)) = (TextFile::open(&path), row::ImageRoot::new(dir.path(), false)) else { return };
    let folder = dir.path().canonicalize().expect("just made");
    for (line, text) in file.rows() {
        assert!(line <= 1 + bytes.iter().filter(|&&b| b == b'\n').count());
        let Ok(sample) = text.and_then(|t| row::parse_row(t, None, &root, "row")) else { continue };
        let mut shown: Vec<usize> = sample.messages.iter().flat_map(Message::images).collect();
        shown.sort_unstable();
        assert!(shown.into_iter().eq(0..sample.images.len()));
        for image in &sample.images {
            assert!(!matches!(image, ImageRef::Path(p) if !p.starts_with(&folder)));
        }
    }
});
