//! Decoding, resizing and processors against Pillow and transformers.

mod common;

use common::{parity_folder, tensors};
use std::collections::BTreeMap;
use std::path::Path;
use vlm_core::vision::{ImageProcessor, Picture, QwenImageProcessor, Resample, TileProcessor, resize};
use vlm_core::{DType, Device, Tensor};

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn pictures(folder: &Path, key: &str) -> BTreeMap<String, Picture> {
    let told = json(&folder.join("expected.json"));
    let file = |v: &serde_json::Value| v.as_str().or(v["file"].as_str()).unwrap().to_owned();
    let all = told[key].as_object().unwrap();
    all.iter().map(|(name, f)| (name.clone(), Picture::open(&folder.join(file(f))).unwrap())).collect()
}

/// A stored picture, `[h, w, 3]`.
fn stored(t: &Tensor) -> Picture {
    Picture::from_rgb(t.shape()[1], t.shape()[0], t.to_vec::<u8>().unwrap()).unwrap()
}

fn worst(a: &Picture, b: &Picture) -> u8 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    a.rgb().iter().zip(b.rgb()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn every_picture_is_decoded_exactly() {
    let Some(folder) = parity_folder("image_ops") else { return };
    let expected = tensors(&folder.join("expected.safetensors"), &Device::reference());
    for (name, picture) in pictures(&folder, "images") {
        // Pillow clips 16-bit grey; ours is scaled, which the reference data has as well.
        let key = if name == "gray16" { format!("decoded_16bit_scaled/{name}") } else { format!("decoded/{name}") };
        let want = stored(&expected[&key]);
        let off = worst(&picture, &want);
        assert_eq!(off, 0, "{name}");
    }
}

#[test]
fn resizing_is_pillows_bit_for_bit() {
    let Some(folder) = parity_folder("image_ops") else { return };
    let expected = tensors(&folder.join("expected.safetensors"), &Device::reference());
    let mut compared = 0;
    for (key, want) in &expected {
        let Some(rest) = key.strip_prefix("resize_pil/") else { continue };
        let (name, how) = rest.split_once('/').unwrap();
        let (filter, size) = how.split_once('_').unwrap();
        let (h, w) = size.split_once('x').unwrap();
        let filter = match filter {
            "bicubic" => Resample::Bicubic,
            "bilinear" => Resample::Bilinear,
            "lanczos" => Resample::Lanczos,
            "box" => Resample::Box,
            "hamming" => Resample::Hamming,
            _ => Resample::Nearest,
        };
        let source = stored(&expected[&format!("decoded/{name}")]);
        let got = resize(&source, w.parse().unwrap(), h.parse().unwrap(), filter).unwrap();
        assert_eq!(worst(&got, &stored(want)), 0, "{key}");
        compared += 1;
    }
    assert!(compared >= 30, "{compared}");
}

#[test]
fn pixel_values_are_those_of_the_processors() {
    // One grey level is 0.0146 to 0.0153 after normalising; expected values are stored in half precision.
    for (family, exact) in
        [("llava", 0.001f32), ("clip", 0.001), ("siglip", 0.001), ("paligemma", 0.001), ("gemma3", 0.001)]
    {
        let Some(folder) = parity_folder(family) else { return };
        let expected = tensors(&folder.join("expected.safetensors"), &Device::reference());
        for model in ["model", "model_v5"] {
            let processor = ImageProcessor::load(&folder.join(model)).unwrap();
            for (name, picture) in pictures(&folder, "preprocess") {
                if name == "gray16" {
                    continue;
                }
                let got = processor.process(&[picture]).unwrap();
                let want = expected[&format!("preprocess/{name}/pixel_values")].to_dtype(DType::F32).unwrap();
                assert_eq!(want.shape().as_ref(), got.shape, "{family} {name}");
                let want = want.to_vec::<f32>().unwrap();
                let off = got.data.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(off <= exact, "{family} {model} {name}: off by {off}");
            }
        }
    }
}

/// The paths of a case's pictures, in order.
fn shown(value: &serde_json::Value, out: &mut Vec<String>) {
    match value {
        serde_json::Value::Array(all) => all.iter().for_each(|v| shown(v, out)),
        serde_json::Value::Object(all) => {
            out.extend(all.get("image").and_then(|v| v.as_str()).map(str::to_owned));
            all.values().for_each(|v| shown(v, out));
        }
        serde_json::Value::String(path) if path.starts_with("images/") && out.last() != Some(path) => {
            out.push(path.clone());
        }
        _ => {}
    }
}

/// The inputs of the models are stored in full precision: every bit must agree.
#[test]
fn inputs_of_models_agree_in_every_bit() {
    let mut compared = 0;
    for family in ["llava", "clip", "siglip", "paligemma", "gemma3", "qwen2_vl", "qwen2_5_vl", "qwen3_vl"] {
        let Some(folder) = parity_folder(family) else { return };
        let expected = tensors(&folder.join("expected.safetensors"), &Device::reference());
        for (case, told) in json(&folder.join("expected.json"))["cases"].as_object().unwrap() {
            let mut files = Vec::new();
            shown(&told["messages"], &mut files);
            shown(&told["images"], &mut files);
            let Some(want) = expected.get(&format!("case/{case}/pixel_values")) else { continue };
            if files.is_empty() || files.iter().any(|f| f.contains("gray16")) {
                continue;
            }
            let pictures: Vec<Picture> = files.iter().map(|f| Picture::open(&folder.join(f)).unwrap()).collect();
            let (data, shape) = if family.starts_with("qwen") {
                let got = QwenImageProcessor::load(&folder.join("model")).unwrap().process(&pictures).unwrap();
                (got.data, got.shape.to_vec())
            } else {
                let got = ImageProcessor::load(&folder.join("model")).unwrap().process(&pictures).unwrap();
                (got.data, got.shape.to_vec())
            };
            assert_eq!(want.shape().as_ref(), shape, "{family} {case}");
            assert!(data == want.to_vec::<f32>().unwrap(), "{family} {case} {files:?}");
            compared += 1;
        }
    }
    assert!(compared >= 20, "{compared}");
}

#[test]
fn patches_and_grids_are_those_of_qwen() {
    for family in ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"] {
        let Some(folder) = parity_folder(family) else { return };
        let expected = tensors(&folder.join("expected.safetensors"), &Device::reference());
        for model in ["model", "model_v5"] {
            let processor = QwenImageProcessor::load(&folder.join(model)).unwrap();
            for (name, picture) in pictures(&folder, "preprocess") {
                let got = processor.process(&[picture]).unwrap();
                let want = |what: &str| &expected[&format!("preprocess/{name}/{what}")];
                let grid: Vec<i64> = got.grid[0].iter().map(|&v| v as i64).collect();
                assert_eq!(want("image_grid_thw").to_vec::<i64>().unwrap(), grid, "{family} {name}");
                if name == "gray16" {
                    continue;
                }
                let values = want("pixel_values").to_dtype(DType::F32).unwrap();
                assert_eq!(values.shape().as_ref(), got.shape, "{family} {name}");
                let values = values.to_vec::<f32>().unwrap();
                let off = got.data.iter().zip(&values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(off <= 0.001, "{family} {model} {name}: off by {off}");
            }
        }
    }
}

#[test]
fn tiles_are_those_of_idefics3() {
    for family in ["idefics3", "smolvlm"] {
        let Some(folder) = parity_folder(family) else { return };
        let expected = tensors(&folder.join("expected.safetensors"), &Device::reference());
        for model in ["model", "model_v5"] {
            let processor = TileProcessor::load(&folder.join(model)).unwrap();
            for (name, picture) in pictures(&folder, "preprocess") {
                let want = expected[&format!("preprocess/{name}/pixel_values")].to_dtype(DType::F32).unwrap();
                let got = processor.process(&[picture]).unwrap();
                let sizes = want.shape().as_ref();
                assert_eq!(sizes[sizes.len() - 4..], got.shape, "{family} {name}");
                if name == "gray16" {
                    continue;
                }
                let want = want.to_vec::<f32>().unwrap();
                let off = got.data.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(off <= 0.001, "{family} {model} {name}: off by {off}");
            }
        }
        let processor = TileProcessor::load(&folder.join("model")).unwrap();
        let photo = Picture::open(&folder.join("images/photo_64x48.png")).unwrap();
        let want = expected["case/one_image/pixel_values"].to_vec::<f32>().unwrap();
        assert!(processor.process(&[photo]).unwrap().data == want, "{family}");
    }
}

/// Each sampling of colours, progressive files, restart marks and colour spaces, beside what Pillow made of them.
#[test]
fn jpeg_is_libjpegs_bit_for_bit() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/jpeg");
    let mut compared = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "jpg") {
            let (ours, pillows) = (Picture::open(&path).unwrap(), Picture::open(&path.with_extension("png")).unwrap());
            assert_eq!(worst(&ours, &pillows), 0, "{}", path.display());
            compared += 1;
        }
    }
    assert_eq!(compared, 11);
}
