//! A model as a folder that Hugging Face's libraries load.

use crate::model::processor;
use anyhow::{Context, Result};
use serde_json::json;
use std::path::Path;
use vlm_core::models::llava::Llava;
use vlm_core::models::save as save_model;
use vlm_core::text::Tokenizer;

/// LLaVA 1.5's conversation as a template. The tokenizer adds no `<s>` by itself, so the template does.
const TEMPLATE: &str = "<s>{% for message in messages %}{{ message['role'] | upper }}: \
{% if message['content'] is string %}{{ message['content'] }}{% else %}\
{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}{% endfor %}\
{% endif %}{% if message['role'] == 'assistant' %}</s>{% else %} {% endif %}{% endfor %}\
{% if add_generation_prompt %}ASSISTANT:{% endif %}";

/// Writes `config.json`, weights, tokenizer and processor.
///
/// # Errors
/// If the folder cannot be written.
pub fn save(model: &Llava, tokenizer: &Tokenizer, dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let text = |name: &str, value: &serde_json::Value| -> Result<()> {
        let path = dir.join(name);
        std::fs::write(&path, serde_json::to_string_pretty(value)? + "\n")
            .with_context(|| format!("writing {}", path.display()))
    };
    let tower = &model.llava_config().vision_config;
    let (side, patch) = (tower.image_size(), tower.image_size() / tower.patches_per_side());
    let (mean, std) = processor().normalise.unwrap_or(([0.0; 3], [1.0; 3]));
    text(
        "preprocessor_config.json",
        &json!({
            "image_processor_type": "CLIPImageProcessor", "do_resize": true, "size": {"shortest_edge": side}, "resample": 3,
            "do_center_crop": true, "crop_size": {"height": side, "width": side}, "do_rescale": true,
            "rescale_factor": 1.0 / 255.0, "do_normalize": true, "image_mean": mean, "image_std": std, "do_convert_rgb": true,
        }),
    )?;
    text(
        "processor_config.json",
        &json!({
            "processor_class": "LlavaProcessor", "patch_size": patch, "vision_feature_select_strategy": "default",
            "image_token": "<image>", "num_additional_image_tokens": 1,
        }),
    )?;
    text("chat_template.json", &json!({ "chat_template": TEMPLATE }))?;
    tokenizer.save(dir)?;
    Ok(save_model(model, dir)?)
}
