//! Configurations that pass their checks ask for bounded sizes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vlm_core::generate::GenerationConfig;
use vlm_core::models::auto::parse;
use vlm_core::models::llava::LlavaConfig;

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    if let Ok(config) = parse::<LlavaConfig>(&value)
        && config.check().is_ok()
    {
        assert!(config.image_tokens() <= 1 << 30 && config.vision_layers() <= 1024);
        assert!(config.text_config.head_dim() > 0 && config.text_config.kv_heads() > 0);
    }
    if let Ok(config) = serde_json::from_value::<GenerationConfig>(value) {
        let _ = config.check();
    }
});
