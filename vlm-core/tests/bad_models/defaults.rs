//! J7, J10 and J12: sections that are not there, numbers of tokens and weights that do not fit, and pictures that do not
//! divide into patches.

use crate::folder::{everything, judge, on};
use serde_json::{Value, json};
use vlm_core::ErrorKind;
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

/// What transformers 5.23.0 has for `XConfig()`: vision and text section.
fn theirs() -> Vec<(&'static str, Value, Value)> {
    let clip_large = json!({
        "model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
        "num_attention_heads": 16, "image_size": 336, "patch_size": 14, "projection_dim": 768,
    });
    let llama = json!({
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
        "num_attention_heads": 32, "vocab_size": 32000, "max_position_embeddings": 2048,
    });
    let qwen2 = json!({
        "model_type": "qwen2", "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32,
        "num_attention_heads": 32, "vocab_size": 151_936, "max_position_embeddings": 32768,
    });
    let base = |kind: &str| {
        json!({
            "model_type": kind, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
            "num_attention_heads": 12,
        })
    };
    let with = |mut all: Value, more: Value| {
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let siglip = |kind: &str| with(base(kind), json!({"image_size": 224, "patch_size": 16}));
    let idefics3 = json!({
        "hidden_size": 1152, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 16,
        "image_size": 224, "patch_size": 32,
    });
    vec![
        ("llava", clip_large.clone(), llama.clone()),
        ("llava_next", clip_large, llama.clone()),
        (
            "llava_onevision",
            json!({
                "model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 26,
                "num_attention_heads": 16, "image_size": 384, "patch_size": 14, "vision_use_head": false,
            }),
            qwen2.clone(),
        ),
        (
            "paligemma",
            json!({
                "model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4096, "num_hidden_layers": 27,
                "num_attention_heads": 16, "image_size": 224, "patch_size": 14, "vision_use_head": false,
            }),
            json!({
                "model_type": "gemma", "hidden_size": 2048, "intermediate_size": 16384, "num_hidden_layers": 18,
                "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 257_152,
                "max_position_embeddings": 8192,
            }),
        ),
        (
            "gemma3",
            siglip("siglip_vision_model"),
            json!({
                "model_type": "gemma3_text", "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
                "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262_208,
                "max_position_embeddings": 131_072,
            }),
        ),
        ("idefics3", idefics3.clone(), llama.clone()),
        ("smolvlm", idefics3, llama),
        (
            "internvl",
            json!({
                "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
                "image_size": [448, 448], "patch_size": [14, 14],
            }),
            qwen2,
        ),
        (
            "clip",
            with(base("clip_vision_model"), json!({"image_size": 224, "patch_size": 32, "projection_dim": 512})),
            json!({
                "model_type": "clip_text_model", "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12,
                "num_attention_heads": 8, "projection_dim": 512, "vocab_size": 49408, "max_position_embeddings": 77,
            }),
        ),
        (
            "siglip",
            siglip("siglip_vision_model"),
            with(base("siglip_text_model"), json!({"vocab_size": 32000, "max_position_embeddings": 64})),
        ),
        // The table of positions of SigLIP 2 has 256 entries where the file does not say.
        (
            "siglip2",
            json!({"hidden_size": 768, "intermediate_size": 3072, "patch_size": 16}),
            json!({"hidden_size": 768, "vocab_size": 32000}),
        ),
    ]
}

/// Our configuration of such a file, as JSON.
fn ours(config: &Value) -> Value {
    let family = config["model_type"].as_str().unwrap();
    let json = |v: Result<Value, serde_json::Error>| v.unwrap();
    match family {
        "llava" => json(serde_json::to_value(parse::<LlavaConfig>(config).unwrap())),
        "llava_next" | "llava_onevision" => json(serde_json::to_value(LlavaNextConfig::from_json(config).unwrap())),
        "paligemma" => json(serde_json::to_value(parse::<PaliGemmaConfig>(config).unwrap())),
        "gemma3" => json(serde_json::to_value(parse::<Gemma3Config>(config).unwrap())),
        "idefics3" | "smolvlm" => json(serde_json::to_value(parse::<Idefics3Config>(config).unwrap())),
        "internvl" => json(serde_json::to_value(parse::<InternVlConfig>(config).unwrap())),
        "clip" => json(serde_json::to_value(parse::<ClipConfig>(config).unwrap())),
        _ => json(serde_json::to_value(parse::<SiglipConfig>(config).unwrap())),
    }
}

#[test]
fn a_section_that_is_not_there_is_the_default_of_transformers() {
    let mut wrong = Vec::new();
    for (family, vision, text) in theirs() {
        for config in
            [json!({"model_type": family}), json!({"model_type": family, "vision_config": null, "text_config": null})]
        {
            let found = ours(&config);
            for (section, wanted) in [("vision_config", &vision), ("text_config", &text)] {
                for (field, wanted) in wanted.as_object().unwrap() {
                    if found[section][field] != *wanted {
                        wrong.push(format!(
                            "J10 {family}: {section}.{field} is {}, theirs {wanted}",
                            found[section][field]
                        ));
                    }
                }
            }
        }
    }
    for (family, vision, text) in [
        ("qwen2_vl", [1280, 32, 16, 14], [8192, 80, 64, 152_064]),
        ("qwen2_5_vl", [3584, 32, 16, 14], [8192, 80, 64, 152_064]),
        ("qwen3_vl", [1152, 27, 16, 16], [4096, 32, 32, 151_936]),
    ] {
        let c = QwenVlConfig::from_json(&json!({"model_type": family})).unwrap();
        let found = (
            [c.vision.width, c.vision.depth, c.vision.num_heads, c.vision.patch_size],
            [c.text.hidden_size, c.text.num_hidden_layers, c.text.num_attention_heads, c.text.vocab_size],
        );
        if found != (vision, text) {
            wrong.push(format!("J10 {family}: {found:?}, theirs {:?}", (vision, text)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn sections_and_weights_that_do_not_fit_are_shown_tensor_by_tensor() {
    let mut rows = Vec::new();
    for family in [
        "llava",
        "llava_next",
        "paligemma",
        "gemma3",
        "smolvlm",
        "internvl",
        "qwen2_5_vl",
        "qwen3_vl",
        "clip",
        "siglip",
        "siglip2",
    ] {
        let without = |f: &crate::folder::Folder| {
            f.edit("config.json", |c| drop(c.as_object_mut().unwrap().shift_remove("vision_config")));
        };
        let made = on("J10", family, "no vision_config", without, crate::folder::load);
        // Where other settings of the file cannot be with the default, they are named; else every tensor that differs is.
        let (kind, parts) = match family {
            "llava_next" => (ErrorKind::Config, &["image_grid_pinpoints", "multiples of the tile, 336"][..]),
            "smolvlm" => (ErrorKind::Config, &["the patches along a side 7 is no multiple of scale_factor 2"][..]),
            "siglip" | "siglip2" => (ErrorKind::Config, &["texts have 48 values, pictures 768"][..]),
            _ => (
                ErrorKind::Format,
                &[
                    "config.json and the weights do not fit",
                    "tensors have another shape",
                    "expected [",
                    "found [",
                    "same place",
                ][..],
            ),
        };
        rows.push(made.map(|r| r.fails(kind, parts)));
    }
    for (family, at, embedding) in [
        (
            "llava",
            "text_config/vocab_size",
            "language_model.model.embed_tokens.weight (expected [500, 64], found [416, 64])",
        ),
        ("qwen2_5_vl", "vocab_size", "model.embed_tokens.weight (expected [500, 64], found [352, 64])"),
        ("smolvlm", "text_config/vocab_size", "embed_tokens.weight (expected [500, 64], found [368, 64])"),
        (
            "clip",
            "text_config/vocab_size",
            "text_model.embeddings.token_embedding.weight (expected [500, 48], found [553, 48])",
        ),
    ] {
        rows.push(
            on("J7", family, "a vocabulary of 500", move |f| f.set("config.json", at, json!(500)), everything).map(
                |r| r.fails(ErrorKind::Format, &["config.json and the weights do not fit", embedding, "folder: "]),
            ),
        );
    }
    judge(rows);
}

#[test]
fn sides_that_are_no_multiple_of_the_patch_lose_their_rest_where_the_reference_does_so() {
    let side = |f: &crate::folder::Folder, side: usize| {
        f.set("config.json", "vision_config/image_size", json!(side));
        f.set("preprocessor_config.json", "crop_size", json!({"height": side, "width": side}));
        f.set("preprocessor_config.json", "size", json!({"shortest_edge": side}));
    };
    judge(vec![
        on("J12", "llava", "30 pixels in patches of 7", move |f| side(f, 30), everything)
            .map(|r| r.works(&["finite ["])),
        on("J12", "clip", "35 pixels in patches of 8", move |f| side(f, 35), everything)
            .map(|r| r.works(&["finite ["])),
        on(
            "J12",
            "llava",
            "30 pixels, prepared with 28",
            |f| f.set("config.json", "vision_config/image_size", json!(30)),
            everything,
        )
        .map(|r| {
            r.fails(ErrorKind::Shape, &["expected pictures of [n, 3, 30, 30], found [1, 3, 28, 28]", "processor"])
        }),
        on(
            "J12",
            "llava",
            "a patch larger than the picture",
            |f| f.set("config.json", "vision_config/patch_size", json!(29)),
            everything,
        )
        .map(|r| r.fails(ErrorKind::Config, &["image_size 28 is no multiple of patch_size 29"])),
        on(
            "J12",
            "internvl",
            "tiles of 30 pixels in patches of 7, prepared with 28",
            |f| f.set("config.json", "vision_config/image_size", json!([30, 30])),
            everything,
        )
        .map(|r| r.fails(ErrorKind::Shape, &["expected tiles of [n, 3, 30, 30], found [3, 3, 28, 28]", "processor"])),
        on(
            "J12",
            "gemma3",
            "36 pixels in patches of 8",
            |f| f.set("config.json", "vision_config/image_size", json!(45)),
            everything,
        )
        .map(|r| r.fails(ErrorKind::Config, &["the patches along a side 5 is no multiple of"])),
    ]);
}
