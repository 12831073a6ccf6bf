//! J17: `preprocessor_config.json`.

use crate::catalogue::Row;
use crate::folder::{judge, on, prepare};
use serde_json::{Value, json};
use vlm_core::ErrorKind;

const FILE: &str = "preprocessor_config.json";

fn value(family: &'static str, at: &'static str, new: Value, parts: &[&str]) -> Option<Row> {
    let shown: String = format!("{at} = {new}").chars().take(80).collect();
    on("J17", family, &shown, move |f| f.set(FILE, at, new), prepare).map(|r| r.fails(ErrorKind::Config, parts))
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let mut rows = Vec::new();
    for family in [
        "llava",
        "llava_next",
        "llava_onevision",
        "paligemma",
        "gemma3",
        "smolvlm",
        "idefics3",
        "internvl",
        "qwen2_5_vl",
        "qwen3_vl",
        "clip",
        "siglip",
        "siglip2",
    ] {
        for (at, new, parts) in [
            ("image_mean", json!([0.5, 0.5]), &["image_mean is [0.5,0.5], expected three numbers", "file: "][..]),
            ("image_mean", json!([0.5, 0.5, "x"]), &["image_mean is ", "expected three numbers"]),
            ("image_mean", json!(0.5), &["image_mean is 0.5, expected three numbers"]),
            ("image_mean", json!([1e39, 0, 0]), &["image_mean is ", "expected three numbers"]),
            ("image_std", json!([0.5, 0.5, 0.5, 0.5]), &["image_std is ", "expected three numbers"]),
            ("image_std", json!([0.5, 0.0, 0.5]), &["image_std is ", "expected numbers above 0"]),
            ("image_std", json!([0.5, -0.5, 0.5]), &["image_std is ", "expected numbers above 0"]),
            ("resample", json!(99), &["there is no filter 99", "expected 0 nearest, 1 Lanczos"]),
            ("resample", json!("bicubic"), &["resample is \"bicubic\", expected a number"]),
            ("rescale_factor", json!("1/255"), &["rescale_factor is \"1/255\", expected a number"]),
            ("rescale_factor", json!(1e300), &["give numbers that are not finite"]),
            ("do_rescale", json!("yes"), &["do_rescale is \"yes\", expected true or false"]),
            ("do_normalize", json!(1), &["do_normalize is 1, expected true or false"]),
            ("do_resize", json!([]), &["do_resize is [], expected true or false"]),
            ("image_processor_type", json!("OtherImageProcessor"), &["image_processor_type", "OtherImageProcessor"]),
            ("image_processor_type", json!(3), &["image_processor_type", "3"]),
        ] {
            rows.push(value(family, at, new, parts));
        }
        rows.push(
            on(
                "J17",
                family,
                "no preprocessor_config.json",
                |f| {
                    f.remove(FILE);
                    let _ = std::fs::remove_file(f.path("processor_config.json"));
                },
                prepare,
            )
            .map(|r| r.fails(ErrorKind::Io, &[FILE, "No such file", "check the path"])),
        );
        rows.push(
            on("J17", family, "half a preprocessor_config.json", |f| f.write(FILE, "{\"image_mean\": [0."), prepare)
                .map(|r| r.fails(ErrorKind::Config, &[FILE, "not JSON"])),
        );
        rows.push(
            on("J17", family, "a list", |f| f.write(FILE, "[]"), prepare)
                .map(|r| r.fails(ErrorKind::Config, &["the whole is [], expected an object"])),
        );
        rows.push(
            on("J17", family, "2 MiB of spaces", |f| f.write(FILE, " ".repeat(2 << 20)), prepare)
                .map(|r| r.fails(ErrorKind::Format, &[FILE, "is larger than the 1048576 bytes allowed"])),
        );
    }
    judge(rows);
}

#[test]
fn sizes_that_cannot_be_are_named() {
    let huge = json!(1u64 << 40);
    let mut rows = Vec::new();
    for (family, at, name) in [
        ("llava", "size/shortest_edge", "size.shortest_edge"),
        ("llava", "crop_size/height", "crop_size.height"),
        ("clip", "size/shortest_edge", "size.shortest_edge"),
        ("gemma3", "size/height", "size.height"),
        ("paligemma", "size/width", "size.width"),
        ("siglip", "size/height", "size.height"),
        ("llava_next", "size/shortest_edge", "size.shortest_edge"),
        ("smolvlm", "size/longest_edge", "size.longest_edge"),
        ("smolvlm", "max_image_size/longest_edge", "max_image_size.longest_edge"),
        ("qwen2_5_vl", "size/shortest_edge", "shortest_edge"),
        ("qwen2_5_vl", "size/longest_edge", "longest_edge"),
        ("qwen2_5_vl", "patch_size", "patch_size"),
        ("qwen2_5_vl", "merge_size", "merge_size"),
        ("qwen2_5_vl", "temporal_patch_size", "temporal_patch_size"),
        ("siglip2", "patch_size", "patch_size"),
        ("siglip2", "max_num_patches", "max_num_patches"),
        ("internvl", "max_patches", "max_patches"),
        ("internvl", "min_patches", "min_patches"),
    ] {
        for new in [json!(0), json!(-1), json!(2.5), json!("28"), huge.clone()] {
            let part = format!("{name} is {new}");
            rows.push(value(family, at, new, &[&part, "expected"]));
        }
    }
    for (family, at, new, parts) in [
        ("llava", "size", json!({"height": 28}), &["size is ", "expected shortest_edge, or height and width"][..]),
        ("llava", "size", json!({"longest_edge": 28}), &["longest_edge"]),
        ("llava", "do_pad", json!(true), &["do_pad is true", "only LlavaImageProcessor pads"]),
        ("llava", "do_something_new", json!(true), &["do_something_new is true, expected no such field", "remove it"]),
        ("gemma3", "do_pan_and_scan", json!(true), &["do_pan_and_scan is true, expected no such field"]),
        ("internvl", "size", json!({"height": 28, "width": 30}), &["size is ", "expected equal height and width"]),
        ("internvl", "min_patches", json!(9), &["min_patches is 9, expected at most max_patches, 4"]),
        (
            "qwen2_5_vl",
            "size",
            json!({"shortest_edge": 99, "longest_edge": 9}),
            &["at least 99 and at most 9 pixels contradict each other"],
        ),
        (
            "llava_next",
            "image_grid_pinpoints",
            json!([]),
            &["image_grid_pinpoints is [], expected a list of [height, width]"],
        ),
        (
            "llava_next",
            "image_grid_pinpoints",
            json!([[28, 57]]),
            &["image_grid_pinpoints is [28,57], expected multiples of the tile, 28"],
        ),
        (
            "llava_next",
            "image_grid_pinpoints",
            json!([[0, 28]]),
            &["image_grid_pinpoints is 0, expected a number of pixels"],
        ),
        ("llava_next", "image_grid_pinpoints", json!([[2800, 2800]]), &["at most 1024 tiles of 28 pixels"]),
        ("llava_next", "image_grid_pinpoints", json!(vec![[28, 28]; 2000]), &["image_grid_pinpoints"]),
    ] {
        rows.push(value(family, at, new, parts));
    }
    // What only shows when a picture comes: too many tiles, too many numbers.
    for (family, changes, parts) in [
        (
            "smolvlm",
            &[("max_image_size/longest_edge", 12), ("size/longest_edge", 4000)][..],
            &["tiles of 12, more than 1024", "max_image_size"][..],
        ),
        (
            "siglip2",
            &[("patch_size", 1024), ("max_num_patches", 65536)],
            &["pictures become", "numbers, more than 1073741824", "fewer pictures"],
        ),
        (
            "qwen2_5_vl",
            &[
                ("patch_size", 256),
                ("temporal_patch_size", 256),
                ("size/longest_edge", 9_000_000),
                ("size/shortest_edge", 8_000_000),
            ],
            &["picture 0 becomes", "numbers, expected at most", "lower max_pixels"],
        ),
    ] {
        let set = move |f: &crate::folder::Folder| changes.iter().for_each(|(at, new)| f.set(FILE, at, json!(new)));
        let what = format!("{changes:?}");
        rows.push(on("J17", family, &what, set, prepare).map(|r| r.fails(ErrorKind::Image, parts)));
    }
    judge(rows);
}
