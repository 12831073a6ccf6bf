//! A header that is accepted describes bytes that are there, each once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vlm_core::weights::safetensors::Header;

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = Header::parse(bytes) else { return };
    let mut spans: Vec<_> = header.tensors.values().map(|t| t.range.clone()).collect();
    spans.sort_by_key(|r| (r.start, r.end));
    let mut at = spans.first().map_or(bytes.len(), |r| r.start);
    for span in spans {
        assert_eq!(span.start, at);
        at = span.end;
    }
    assert_eq!(at, bytes.len());
    for tensor in header.tensors.values() {
        assert_eq!(tensor.shape.iter().product::<usize>() * tensor.dtype.bits(), 8 * tensor.range.len());
    }
});
