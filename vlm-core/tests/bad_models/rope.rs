//! J13: rotary embeddings. (A base that is NaN is no JSON: J3.)

use crate::catalogue::Row;
use crate::folder::{everything, judge, on};
use serde_json::{Value, json};
use vlm_core::ErrorKind;

fn refused(family: &'static str, at: &'static str, new: Value, part: &str) -> Option<Row> {
    let shown = format!("{at} = {new}");
    let made = on("J13", family, &shown, move |f| f.set("config.json", at, new), everything)?;
    Some(made.fails(ErrorKind::Config, &["config.json", part]))
}

#[test]
fn rotary_embeddings_that_give_no_numbers_are_refused() {
    let mut rows = Vec::new();
    for (family, theta) in [
        ("llava", "text_config/rope_theta"),
        ("smolvlm", "text_config/rope_theta"),
        ("gemma3", "text_config/rope_theta"),
        ("internvl", "text_config/rope_theta"),
        ("qwen2_5_vl", "rope_theta"),
    ] {
        rows.push(refused(family, theta, json!(0), "rope_theta is 0, expected a positive number"));
        rows.push(refused(family, theta, json!(-1e4), "rope_theta is -10000, expected a positive number"));
        rows.push(refused(family, theta, json!("10000"), "rope_theta"));
        rows.push(refused(family, theta, json!(1e-300), "angles that are not finite"));
    }
    let scaled = "text_config/rope_scaling";
    for (family, at, new, part) in [
        (
            "gemma3",
            "text_config/rope_local_base_freq",
            json!(0),
            "rope_local_base_freq is 0, expected a positive number",
        ),
        ("llava", scaled, json!("linear"), "rope_scaling is \"linear\", expected an object"),
        ("llava", scaled, json!({"type": 3}), "rope_scaling.rope_type is 3, expected a name"),
        (
            "llava",
            scaled,
            json!({"type": "longrope", "factor": 2}),
            "rope scaling \"longrope\" is not supported, default, mrope",
        ),
        ("llava", scaled, json!({"type": "linear"}), "rope_scaling.factor is missing"),
        (
            "llava",
            scaled,
            json!({"type": "linear", "factor": 0}),
            "rope_scaling.factor is 0, expected a positive number",
        ),
        ("llava", scaled, json!({"type": "linear", "factor": 1e-45}), "angles that are not finite"),
        (
            "llava",
            scaled,
            json!({"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4, "original_max_position_embeddings": 9}),
            "low_freq_factor 4 is not below high_freq_factor 4",
        ),
        (
            "llava",
            "text_config/rope_parameters",
            json!({"rope_theta": "x"}),
            "rope_parameters.rope_theta is \"x\", expected a number",
        ),
        ("llava", "text_config/rope_parameters", json!([]), "rope_parameters is [], expected an object"),
        ("qwen2_5_vl", "rope_scaling/mrope_section", json!([1, 1]), "mrope_section is [1,1], expected three numbers"),
        ("qwen2_5_vl", "rope_scaling/mrope_section", json!([1, 1, 99]), "does not add up to half of a head, 4"),
        ("qwen2_5_vl", "rope_scaling/mrope_section", json!([u64::MAX, 1, 1]), "does not add up to half of a head, 4"),
    ] {
        rows.push(refused(family, at, new, part));
    }
    // A large base and a large factor are no harm.
    rows.push(
        on(
            "J13",
            "llava",
            "a base of 1e300",
            |f| f.set("config.json", "text_config/rope_theta", json!(1e300)),
            everything,
        )
        .map(|r| r.works(&["finite ["])),
    );
    judge(rows);
}
