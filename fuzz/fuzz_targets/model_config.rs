//! Configurations that pass their checks ask for bounded sizes, in every family.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use vlm_core::generate::GenerationConfig;
use vlm_core::models::auto::parse;
use vlm_core::models::clip::ClipConfig;
use vlm_core::models::gemma3::Gemma3Config;
use vlm_core::models::idefics3::Idefics3Config;
use vlm_core::models::internvl::InternVlConfig;
use vlm_core::models::llava::LlavaConfig;
use vlm_core::models::llava_next::LlavaNextConfig;
use vlm_core::models::paligemma::PaliGemmaConfig;
use vlm_core::models::qwen_vl::QwenVlConfig;
use vlm_core::models::siglip::SiglipConfig;
use vlm_core::models::text::TextConfig;

/// Most tokens of a picture that any configuration may ask for.
const MOST: usize = 1 << 20;

fn text(config: &TextConfig) {
    assert!(config.head_dim() > 0 && config.kv_heads() > 0 && config.num_hidden_layers <= 1024);
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    if let Some(c) = parse::<LlavaConfig>(&value).ok().filter(|c| c.check().is_ok()) {
        assert!(c.image_tokens() <= MOST + 1);
        text(&c.text_config);
    }
    if let Some(c) = LlavaNextConfig::from_json(&value).ok().filter(|c| c.check().is_ok()) {
        assert!(c.vision_config.tokens(c.vision_feature_select_strategy) <= MOST + 1);
        text(&c.text_config);
    }
    if let Some(c) = parse::<PaliGemmaConfig>(&value).ok().filter(|c| c.check().is_ok()) {
        assert!(c.image_tokens() <= MOST);
        text(&c.text_config);
    }
    if let Some(c) = parse::<Gemma3Config>(&value).ok().filter(|c| c.check().is_ok()) {
        assert!(c.mm_tokens_per_image <= MOST && c.tokens_per_side() > 0);
        text(&c.text_config);
    }
    if let Some(c) = parse::<Idefics3Config>(&value).ok().filter(|c| c.check().is_ok()) {
        assert!((1..=MOST).contains(&c.tokens_per_tile()));
        text(&c.text_config);
    }
    if let Some(c) = parse::<InternVlConfig>(&value).ok().filter(|c| c.check().is_ok()) {
        assert!((1..=MOST).contains(&c.tokens_per_tile()));
        text(&c.text_config);
    }
    if let Some(c) = QwenVlConfig::from_json(&value).ok().filter(|c| c.check().is_ok()) {
        assert!(c.vision.depth <= 1024 && c.vision.patch_values() > 0);
        text(&c.text);
    }
    if let Some(c) = parse::<ClipConfig>(&value).ok().filter(|c| c.check().is_ok()) {
        assert!(c.vision_config.patches() <= MOST);
    }
    if let Some(c) = parse::<SiglipConfig>(&value).ok().filter(|c| c.check().is_ok()) {
        assert!(c.vision_config.patches_per_side().pow(2) <= MOST);
    }
    if let Ok(config) = serde_json::from_value::<GenerationConfig>(value) {
        let _ = config.check();
    }
});
