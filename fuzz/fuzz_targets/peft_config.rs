//! A config that is accepted can be used and comes back the same when written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vlm_core::lora::peft_config::PeftConfig;

fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = PeftConfig::parse(bytes) else { return };
    let matcher = config.matcher().expect("checked by parse");
    if let Some(adapted) = matcher.matches("model.language_model.layers.3.self_attn.q_proj", true, false) {
        assert!(config.scale(adapted).is_finite());
    }
    let text = config.to_json();
    assert_eq!(PeftConfig::parse(text.as_bytes()).expect("written by us").to_json(), text);
});
