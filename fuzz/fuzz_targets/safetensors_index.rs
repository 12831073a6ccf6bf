//! An index that is accepted names files of its own folder only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vlm_core::weights::sharded::Index;

fuzz_target!(|bytes: &[u8]| {
    for file in Index::parse(bytes).iter().flat_map(|i| i.weight_map.values()) {
        assert!(!file.contains(['/', '\\', '\0']) && file.ends_with(".safetensors"));
    }
});
