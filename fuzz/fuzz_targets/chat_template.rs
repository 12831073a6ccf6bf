//! A template that compiles renders a conversation or says why not, with bounded work and output.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vlm_core::text::ChatTemplate;
use vlm_core::text::template::RenderOptions;

fuzz_target!(|template: &str| {
    let Ok(template) = ChatTemplate::new(template, [("bos_token", "<s>")]) else { return };
    let messages = serde_json::json!([
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "{{ what }} <b>"}]},
        {"role": "assistant", "content": "a text", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
    ]);
    let options = RenderOptions { add_generation_prompt: true, ..RenderOptions::default() };
    if let Ok(text) = template.render_json(&messages, &options) {
        assert!(text.len() <= 16 << 20);
    }
});
