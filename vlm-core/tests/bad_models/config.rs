//! J1 to J14: `config.json`.

use crate::catalogue::Row;
use crate::catalogue::warnings::heard;
use crate::folder::{everything, judge, load, on};
use serde_json::{Value, json};
use vlm_core::ErrorKind;

/// A value in `config.json` that must be refused.
fn value(number: &'static str, family: &'static str, at: &'static str, new: Value, parts: &[&str]) -> Option<Row> {
    let shown: String = format!("{at} = {new}").chars().take(80).collect();
    let made = on(number, family, &shown, move |f| f.set("config.json", at, new), everything)?;
    Some(made.fails(ErrorKind::Config, &[&["config.json"], parts].concat()))
}

#[test]
fn files_that_are_no_configuration_are_named() {
    let whole = |number, what: &str, bytes: &'static [u8]| {
        on(number, "llava", what, move |f| f.write("config.json", bytes), everything)
    };
    let bad =
        |row: Option<Row>, parts: &[&str]| row.map(|r| r.fails(ErrorKind::Config, &[&["config.json"], parts].concat()));
    judge(vec![
        on("J1", "llava", "no config.json", |f| f.remove("config.json"), everything)
            .map(|r| r.fails(ErrorKind::Io, &["config.json", "No such file", "check the path"])),
        on("J1", "clip", "no config.json", |f| f.remove("config.json"), everything)
            .map(|r| r.fails(ErrorKind::Io, &["config.json", "No such file", "check the path"])),
        bad(whole("J2", "nothing", b""), &["not JSON", "EOF", "file: "]),
        bad(whole("J2", "an empty object", b"{}"), &["there is no model_type", "known: ", "llava"]),
        bad(
            whole("J3", "half an object", b"{\"model_type\": \"llava\", \"text_config\": {\"hid"),
            &["not JSON", "EOF", "line 1"],
        ),
        bad(whole("J3", "no JSON", b"model_type: llava"), &["not JSON", "line 1 column 1"]),
        bad(whole("J3", "a number that is none", b"{\"rope_theta\": NaN}"), &["not JSON", "line 1 column 16"]),
        bad(whole("J3", "no UTF-8", b"{\"model_type\": \"\xff\"}"), &["not JSON"]),
        bad(whole("J4", "a list", b"[]"), &["not a JSON object"]),
        on("J3", "llava", "a million brackets", |f| f.write("config.json", "[".repeat(1 << 20)), everything)
            .map(|r| r.fails(ErrorKind::Config, &["not JSON", "recursion limit"])),
        on("J3", "llava", "17 MiB of spaces", |f| f.write("config.json", " ".repeat(17 << 20)), everything)
            .map(|r| r.fails(ErrorKind::Format, &["config.json is larger than the 16777216 bytes allowed"])),
    ]);
}

/// Where families keep the width of their language model and their tower.
const WIDTHS: [(&str, &str, &str); 9] = [
    ("llava", "text_config/hidden_size", "vision_config/hidden_size"),
    ("llava_next", "text_config/hidden_size", "vision_config/hidden_size"),
    ("paligemma", "text_config/hidden_size", "vision_config/hidden_size"),
    ("gemma3", "text_config/hidden_size", "vision_config/hidden_size"),
    ("smolvlm", "text_config/hidden_size", "vision_config/hidden_size"),
    ("internvl", "text_config/hidden_size", "vision_config/hidden_size"),
    ("qwen2_5_vl", "hidden_size", "vision_config/hidden_size"),
    ("clip", "text_config/hidden_size", "vision_config/hidden_size"),
    ("siglip2", "text_config/hidden_size", "vision_config/hidden_size"),
];

#[test]
fn values_of_another_type_are_named_with_their_place() {
    let mut rows = Vec::new();
    for (family, text, vision) in WIDTHS {
        for at in [text, vision] {
            let place = at.split('/').next().unwrap();
            for wrong in [json!("64"), json!([64]), json!({"n": 64}), json!(64.5)] {
                rows.push(value("J4", family, at, wrong, &[place, "hidden_size", "expected a"]));
            }
        }
        rows.push(value("J4", family, "vision_config", json!("a tower"), &["vision_config", "a tower", "expected"]));
        rows.push(value("J4", family, "model_type", json!(3), &["model_type is 3, expected a name"]));
        rows.push(value(
            "J4",
            family,
            "torch_dtype",
            json!("float7"),
            &["torch_dtype is \"float7\"", "expected float32"],
        ));
        rows.push(value("J4", family, "torch_dtype", json!(16), &["torch_dtype is 16", "expected float32"]));
    }
    for (family, at, wrong, parts) in [
        ("llava", "text_config", json!([]), &["text_config", "[]", "an object"][..]),
        ("llava", "text_config/model_type", json!(7), &["text_config", "model_type is 7"]),
        ("llava", "vision_config/model_type", json!(7), &["vision_config", "model_type is 7"]),
        ("llava", "projector_hidden_act", json!("tanh"), &["projector_hidden_act", "unknown activation \"tanh\""]),
        (
            "gemma3",
            "text_config/hidden_activation",
            json!("x"),
            &["text_config", "hidden_activation", "unknown activation"],
        ),
        ("qwen2_5_vl", "vision_config/depth", json!("four"), &["depth is \"four\", expected a number"]),
        ("qwen2_5_vl", "vision_config/fullatt_block_indexes", json!([-1]), &["fullatt_block_indexes is [-1]"]),
        ("internvl", "vision_config/image_size", json!([28, 30]), &["image_size", "two equal sides, found [28,30]"]),
        ("llava", "vision_feature_layer", json!("last"), &["vision_feature_layer"]),
        ("llava_next", "image_grid_pinpoints", json!([[28]]), &["image_grid_pinpoints"]),
    ] {
        rows.push(value("J4", family, at, wrong, parts));
    }
    judge(rows);
}

#[test]
fn sizes_that_cannot_be_are_refused_before_anything_is_reserved() {
    let mut rows = Vec::new();
    let huge = 1i64 << 40;
    for (family, text, vision) in WIDTHS {
        for at in [text, vision] {
            rows.push(value("J5", family, at, json!(0), &["hidden_size is 0, expected 1 to 65536"]));
            rows.push(value("J5", family, at, json!(-64), &["hidden_size", "-64", "expected a"]));
            rows.push(value("J5", family, at, json!(huge), &["hidden_size is 1099511627776, expected 1 to 65536"]));
        }
        let section = text.strip_suffix("hidden_size").unwrap();
        let mut text = |number, field: &'static str, new: i64, part: &str| {
            // The table's rows live as long as the test.
            let at: &'static str = Box::leak(format!("{section}{field}").into_boxed_str());
            rows.push(value(number, family, at, json!(new), &[part]));
        };
        text("J8", "num_hidden_layers", 1_000_000_000, "num_hidden_layers is 1000000000, expected 1 to 1024");
        text("J8", "num_hidden_layers", 0, "num_hidden_layers is 0, expected 1 to 1024");
        text("J5", "vocab_size", huge, "vocab_size is 1099511627776, expected 1 to 4194304");
        text("J5", "intermediate_size", huge, "intermediate_size is 1099511627776, expected 1 to 1048576");
        text("J5", "max_position_embeddings", huge, "max_position_embeddings is 1099511627776, expected 1 to");
        text("J6", "num_attention_heads", 0, "num_attention_heads is 0, expected 1 to 1024");
        // PaliGemma has one head of keys and heads of their own size: any number divides, and the weights decide.
        if family != "paligemma" {
            text("J6", "num_attention_heads", 7, "is no multiple of num_");
        }
        let (heads, width) = if family.starts_with("qwen") {
            ("num_heads", "hidden_size 32")
        } else {
            ("num_attention_heads", "hidden_size")
        };
        let at: &'static str = Box::leak(format!("vision_config/{heads}").into_boxed_str());
        rows.push(value("J6", family, at, json!(5), &[width, &format!("is no multiple of {heads} 5")]));
        rows.push(value("J11", family, "vision_config/patch_size", json!(0), &["patch_size", "0", "expected"]));
        rows.push(value(
            "J11",
            family,
            "vision_config/patch_size",
            json!(huge),
            &["patch_size", "1099511627776", "expected"],
        ));
    }
    for (family, at, new, parts) in [
        ("llava", "vision_config/image_size", json!(1 << 20), &["image_size is 1048576, expected 1 to 16384"][..]),
        (
            "llava",
            "vision_config",
            json!({"model_type": "clip_vision_model", "image_size": 16384, "patch_size": 1}),
            &["the number of patches of a picture is 268435456, expected 1 to 1048576"],
        ),
        ("llava", "text_config/head_dim", json!(7), &["head_dim 7 is no multiple of"]),
        (
            "llava",
            "text_config/num_key_value_heads",
            json!(3),
            &["num_attention_heads 8 is no multiple of num_key_value_heads 3"],
        ),
        ("llava", "vision_feature_layer", json!(-9), &["vision_feature_layer -9 is outside of the tower's 3 layers"]),
        ("llava", "vision_feature_layer", json!([]), &["the list is empty"]),
        (
            "llava",
            "image_token_index",
            json!(100_000),
            &["image_token_index 100000 is outside of the vocabulary of 416"],
        ),
        ("gemma3", "mm_tokens_per_image", json!(huge), &["mm_tokens_per_image is 1099511627776"]),
        ("gemma3", "mm_tokens_per_image", json!(0), &["mm_tokens_per_image is 0"]),
        ("gemma3", "mm_tokens_per_image", json!(5), &["mm_tokens_per_image 5 is no square"]),
        (
            "gemma3",
            "text_config/layer_types",
            json!(["full_attention"]),
            &["layer_types has 1 entries, num_hidden_layers is 3"],
        ),
        (
            "gemma3",
            "text_config/layer_types/1",
            json!("chunked"),
            &["layer_types has \"chunked\", expected full_attention"],
        ),
        ("gemma3", "text_config/sliding_window", json!(0), &["sliding_window is 0"]),
        (
            "gemma3",
            "text_config/query_pre_attn_scalar",
            json!(0),
            &["query_pre_attn_scalar is 0, expected a positive number"],
        ),
        (
            "gemma3",
            "text_config/final_logit_softcapping",
            json!(30.0),
            &["final_logit_softcapping is 30", "only gemma2"],
        ),
        ("paligemma", "projection_dim", json!(0), &["projection_dim is 0"]),
        ("smolvlm", "scale_factor", json!(0), &["scale_factor is 0, expected 1 to 4"]),
        ("smolvlm", "scale_factor", json!(3), &["is no multiple of scale_factor 3"]),
        ("internvl", "downsample_ratio", json!(0), &["downsample_ratio is 0, expected one over a whole number"]),
        ("internvl", "downsample_ratio", json!(1e-300), &["joined tokens"]),
        ("internvl", "vision_config/norm_type", json!("x"), &["norm_type is \"x\", expected layer_norm or rms_norm"]),
        ("internvl", "vision_feature_select_strategy", json!("full"), &["leaves no square of patches"]),
        (
            "llava_next",
            "image_grid_pinpoints",
            json!([[28, 57]]),
            &["image_grid_pinpoints", "multiples of the tile, 28"],
        ),
        ("llava_next", "image_grid_pinpoints", json!([]), &["image_grid_pinpoints is []"]),
        ("llava_next", "vision_feature_select_strategy", json!("full"), &["leaves 17 of 16 patches, no square"]),
        ("llava_onevision", "vision_aspect_ratio", json!("wide"), &["\"wide\", expected \"anyres_max_9\""]),
        ("qwen2_5_vl", "vision_config/spatial_merge_size", json!(0), &["spatial_merge_size is 0"]),
        (
            "qwen2_5_vl",
            "vision_config/window_size",
            json!(1),
            &["patch_size · spatial_merge_size is 12, expected 1 to 1"],
        ),
        (
            "qwen2_5_vl",
            "vision_config/out_hidden_size",
            json!(65),
            &["the merger gives 65 values, the language model takes 64"],
        ),
        ("qwen3_vl", "vision_config/num_position_embeddings", json!(17), &["num_position_embeddings 17 is no square"]),
        (
            "qwen3_vl",
            "vision_config/deepstack_visual_indexes",
            json!([99]),
            &["deepstack_visual_indexes has 99, but depth is"],
        ),
        ("clip", "projection_dim", json!(0), &["projection_dim is 0"]),
        ("siglip2", "vision_config/num_patches", json!(17), &["num_patches is 17, expected a square"]),
        ("siglip", "vision_config/vision_use_head", json!(false), &["vision_use_head is false"]),
        ("siglip", "text_config/projection_size", json!(3), &["texts have 3 values, pictures 48"]),
    ] {
        rows.push(value("J5", family, at, new, parts));
    }
    judge(rows);
}

#[test]
fn types_that_are_not_known_are_answered_with_those_that_are() {
    judge(vec![
        value(
            "J9",
            "llava",
            "model_type",
            json!("mamba_vl"),
            &["unknown model_type \"mamba_vl\"", "qwen2_5_vl", "smolvlm", "auto::register"],
        ),
        value("J9", "clip", "model_type", json!("vit"), &["unknown model_type \"vit\"", "clip, gemma3"]),
        value(
            "J9",
            "llava",
            "text_config/model_type",
            json!("mamba"),
            &["text_config", "unknown language model \"mamba\"", "llama, mistral"],
        ),
        value(
            "J9",
            "llava",
            "vision_config/model_type",
            json!("dino"),
            &["vision_config", "unknown vision tower \"dino\"", "clip_vision_model"],
        ),
        on(
            "J9",
            "clip",
            "asked to write text",
            |_| (),
            |dir| vlm_core::models::load(dir, None, &vlm_core::Device::reference()).map(|_| String::new()),
        )
        .map(|r| r.fails(ErrorKind::Config, &["\"clip\" models write no text", "program embed", "folder: "])),
        on(
            "J9",
            "llava",
            "asked to compare",
            |_| (),
            |dir| vlm_core::models::load_dual_encoder(dir, None, &vlm_core::Device::reference()).map(|_| String::new()),
        )
        .map(|r| r.fails(ErrorKind::Config, &["\"llava\" models compare no embeddings", "program generate"])),
    ]);
}

#[test]
fn code_in_the_folder_is_not_run_and_said_so() {
    let map = json!({"AutoModelForCausalLM": "modeling_evil.EvilModel"});
    let loads = |dir: &std::path::Path| {
        let (result, warnings) = heard(|| load(dir));
        result.map(|model| format!("{model}; heard: {warnings}"))
    };
    let rows = ["llava", "qwen2_5_vl", "clip"].map(|family| {
        let map = map.clone();
        on("J14", family, "auto_map", move |f| f.set("config.json", "auto_map", map), loads)
            .map(|r| r.works(&["AutoModel(", "code of its own, which is not run", "modeling_evil.EvilModel"]))
    });
    judge(rows.into());
}
