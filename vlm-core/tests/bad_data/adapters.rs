//! K19 to K21: settings of adapters.

use crate::catalogue::{Row, judge, row};
use serde_json::json;
use vlm_core::lora::LoraAdapter;
use vlm_core::lora::peft_config::{ModuleNames, PeftConfig};
use vlm_core::models::auto::parse;
use vlm_core::models::llava::{Llava, LlavaConfig};
use vlm_core::nn::{Builder, Initializer};
use vlm_core::{DType, Device, ErrorKind, Result};

/// A model of two layers that learnt nothing.
fn model() -> Llava {
    let tower = json!({
        "model_type": "clip_vision_model", "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "image_size": 8, "patch_size": 4,
    });
    let text = json!({
        "model_type": "llama", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 32, "max_position_embeddings": 64,
    });
    let config: LlavaConfig =
        parse(&json!({"model_type": "llava", "image_token_index": 31, "vision_config": tower, "text_config": text}))
            .unwrap();
    Llava::new(&Builder::new(Initializer { seed: 1 }, DType::F32, &Device::reference()), config).unwrap()
}

fn inject(number: &'static str, what: &str, change: fn(&mut PeftConfig)) -> Row {
    row(number, what, model, move |model| -> Result<String> {
        let names = ["q_proj", "v_proj"].map(str::to_owned).to_vec();
        let mut config = PeftConfig::new(4, 8.0, ModuleNames::Names(names));
        change(&mut config);
        LoraAdapter::inject(&model, "default", config, 1).map(|a| format!("{} parameters", a.parameters().len()))
    })
}

#[test]
fn adapters_that_could_learn_nothing_are_refused() {
    let bad = |row: Row, parts: &[&str]| row.fails(ErrorKind::Config, parts);
    judge(vec![
        inject("K19", "rank 4", |_| ()).works(&["16 parameters"]),
        bad(inject("K19", "rank 0", |c| c.r = 0), &["r is 0, expected 1 to 65536"]),
        bad(
            inject("K19", "a rank above a layer's size", |c| c.r = 9),
            &["rank 9 is more than the layer's", "inputs or", "outputs", "proj"],
        ),
        bad(inject("K19", "a rank of a billion", |c| c.r = 1_000_000_000), &["r is 1000000000, expected 1 to 65536"]),
        bad(
            inject("K19", "rank 0 for some layers", |c| c.rank_pattern = vec![("q_proj".to_owned(), 0)]),
            &["rank_pattern[\"q_proj\"] is 0"],
        ),
        bad(
            inject("K20", "alpha 0", |c| c.lora_alpha = 0.0),
            &["lora_alpha is 0, expected a number above 0", "cannot learn"],
        ),
        bad(inject("K20", "alpha below 0", |c| c.lora_alpha = -8.0), &["lora_alpha is -8"]),
        bad(inject("K20", "alpha NaN", |c| c.lora_alpha = f64::NAN), &["lora_alpha is NaN"]),
        bad(
            inject("K20", "alpha 0 for some layers", |c| c.alpha_pattern = vec![("q_proj".to_owned(), 0.0)]),
            &["alpha_pattern[\"q_proj\"] is 0"],
        ),
        bad(
            inject("K20", "dropout 1", |c| c.lora_dropout = 1.0),
            &["lora_dropout is 1, expected 0 up to (not including) 1"],
        ),
        bad(
            inject("K21", "targets that match nothing", |c| {
                c.target_modules = ModuleNames::Names(vec!["qkv".to_owned()])
            }),
            &["target_modules", "qkv", "match no linear layer", "layers are called", "q_proj"],
        ),
        bad(
            inject("K21", "an expression that matches nothing", |c| {
                c.target_modules = ModuleNames::Regex("q_proj".to_owned())
            }),
            &["match no linear layer"],
        ),
        bad(
            inject("K21", "an expression that is none", |c| c.target_modules = ModuleNames::Regex("(".to_owned())),
            &["target_modules", "is no regular expression"],
        ),
        bad(
            inject("K21", "everything excluded", |c| c.exclude_modules = Some(ModuleNames::Regex(".*".to_owned()))),
            &["match no linear layer"],
        ),
        bad(
            inject("K21", "a layer that there is not", |c| c.layers_to_transform = Some(vec![99])),
            &["match no linear layer"],
        ),
    ]);
}
