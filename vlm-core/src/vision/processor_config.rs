//! Processors from `preprocessor_config.json` or `processor_config.json`.

use super::{ImageProcessor, Resample, Target};
use crate::weights::mapping::{is_there, read_small};
use crate::{Error, ErrorKind, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};

const OP: &str = "preprocessor_config.json";
/// Largest file that is read.
const MAX_FILE: u64 = 1 << 20;
/// Largest side that a configuration may ask for.
const MAX_SIDE: u64 = 1 << 14;

/// The kinds of processor that are these steps and no others.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Clip,
    Llava,
    Siglip,
    Gemma3,
}

const KINDS: [(&str, Kind); 4] = [
    ("CLIPImageProcessor", Kind::Clip),
    ("LlavaImageProcessor", Kind::Llava),
    ("SiglipImageProcessor", Kind::Siglip),
    ("Gemma3ImageProcessor", Kind::Gemma3),
];

/// Fields that are read here, or that change no number.
const FIELDS: [&str; 32] = [
    "do_resize",
    "size",
    "resample",
    "do_center_crop",
    "crop_size",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
    "do_pad",
    "do_convert_rgb",
    "image_processor_type",
    "feature_extractor_type",
    "processor_class",
    "image_seq_length",
    "image_seq_len",
    "patch_size",
    "default_to_square",
    "auto_map",
    "transformers_version",
    "_valid_processor_keys",
    "data_format",
    "input_data_format",
    "return_tensors",
    "device",
    "disable_grouping",
    // Gemma 3's cutting of wide pictures, unless `do_pan_and_scan` asks for it.
    "pan_and_scan_min_crop_size",
    "pan_and_scan_max_num_crops",
    "pan_and_scan_min_ratio_to_activate",
    "num_channels",
    "image_token",
];

impl ImageProcessor {
    /// The processor of a model's folder: `preprocessor_config.json`, or as transformers 5 writes it `image_processor`
    /// in `processor_config.json`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if there is neither, [`ErrorKind::Config`] naming a field that does not fit.
    pub fn load(dir: &Path) -> Result<Self> {
        let (config, path) = read_config(dir)?;
        Self::from_config(&config).map_err(|e| e.with("file", path.display()))
    }

    /// The processor of a configuration, with the defaults of its kind (CLIP's where it names none).
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the field, or the type of processor if it is another one. A field that is not known
    /// is an error unless it is `null` or `false`: it may change every picture.
    pub fn from_config(config: &Value) -> Result<Self> {
        let Some(fields) = config.as_object() else { return Err(bad("the whole", config, "an object")) };
        let named = ["image_processor_type", "feature_extractor_type"].into_iter().find(|key| !config[*key].is_null());
        let kind = match named.map(|key| (key, &config[key])) {
            None => Kind::Clip,
            Some((_, Value::String(name))) => {
                let plain = name.trim_end_matches("Fast").trim_end_matches("Pil");
                let plain = plain.replace("FeatureExtractor", "ImageProcessor");
                let known = KINDS.iter().find(|(k, _)| *k == plain).map(|(_, kind)| *kind);
                let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
                let message = || format!("image_processor_type {name:?} is not known");
                known.ok_or_else(|| Error::new(ErrorKind::Config, OP, message()).with("known", names.join(", ")))?
            }
            Some((key, other)) => return Err(bad(key, other, "a name")),
        };
        let unset = |v: &Value| v.is_null() || *v == Value::Bool(false);
        if let Some((name, found)) = fields.iter().find(|(name, v)| !FIELDS.contains(&name.as_str()) && !unset(v)) {
            let message = format!("{name} is {found}, expected no such field");
            return Err(Error::new(ErrorKind::Config, OP, message)
                .hint("remove it if the pictures are right without it; processors that need it are not known here"));
        }
        let square = matches!(kind, Kind::Siglip | Kind::Gemma3);
        let default = if square { ImageProcessor::siglip(224) } else { ImageProcessor::clip(224) };
        let (mean, std) = default.normalise.unwrap_or_default();
        let mean = channels(config, "image_mean", mean)?;
        let on = |name: &str, default: bool| flag(config, name, default);
        let pad = on("do_pad", false)?;
        if pad && kind != Kind::Llava {
            return Err(bad("do_pad", &config["do_pad"], "false: only LlavaImageProcessor pads"));
        }
        Ok(ImageProcessor {
            // Python's int() cuts.
            pad_to_square: pad.then(|| mean.map(|m| (f64::from(m) * 255.0) as u8)),
            resize: if on("do_resize", true)? { Some(target(&config["size"], square)?) } else { None },
            resample: match &config["resample"] {
                Value::Null if kind == Kind::Gemma3 => Resample::Bilinear,
                Value::Null => default.resample,
                number => Resample::from_pillow(number.as_i64().ok_or_else(|| bad("resample", number, "a number"))?)?,
            },
            crop: if on("do_center_crop", !square)? { Some(crop(config)?) } else { None },
            rescale: match (&config["rescale_factor"], on("do_rescale", true)?) {
                (_, false) => None,
                (Value::Null, true) => default.rescale,
                (number, true) => Some(number.as_f64().ok_or_else(|| bad("rescale_factor", number, "a number"))?),
            },
            normalise: if on("do_normalize", true)? { Some((mean, deviations(config, std)?)) } else { None },
        })
    }
}

/// The picture settings of a model's folder and the file they are in.
pub(super) fn read_config(dir: &Path) -> Result<(Value, PathBuf)> {
    let (old, new) = (dir.join("preprocessor_config.json"), dir.join("processor_config.json"));
    let is_old = is_there(&old) || !is_there(&new);
    let path = if is_old { old } else { new };
    let bytes = read_small(OP, &path, MAX_FILE)?;
    let wrong = |message: String| Error::new(ErrorKind::Config, OP, message).with("file", path.display());
    let mut value: Value = serde_json::from_slice(&bytes).map_err(|e| wrong(format!("not JSON: {e}")))?;
    if !value.is_object() {
        return Err(bad("the whole", &value, "an object").with("file", path.display()));
    }
    match value.get_mut("image_processor").map(Value::take) {
        Some(inner) => Ok((inner, path)),
        None if is_old => Ok((value, path)),
        None => {
            let e = wrong("it has no image_processor, and there is no preprocessor_config.json".to_owned());
            Err(e.hint("add the model's preprocessor_config.json"))
        }
    }
}

pub(super) fn bad(name: &str, found: &Value, expected: &str) -> Error {
    let mut shown = found.to_string();
    if let Some((end, _)) = shown.char_indices().nth(200) {
        shown.truncate(end);
        shown.push('…');
    }
    Error::new(ErrorKind::Config, OP, format!("{name} is {shown}, expected {expected}"))
}

pub(super) fn flag(config: &Value, name: &str, default: bool) -> Result<bool> {
    match &config[name] {
        Value::Null => Ok(default),
        Value::Bool(on) => Ok(*on),
        other => Err(bad(name, other, "true or false")),
    }
}

pub(super) fn side(name: &str, value: &Value) -> Result<usize> {
    let side = value.as_u64().filter(|s| (1..=MAX_SIDE).contains(s));
    side.map(|s| s as usize).ok_or_else(|| bad(name, value, "a number of pixels from 1 to 16384"))
}

/// `size`: `{"shortest_edge"}`, `{"height", "width"}`, or a number as in old files: both sides if `square`.
fn target(size: &Value, square: bool) -> Result<Target> {
    let exact = |side| Target::Exact { height: side, width: side };
    match size {
        Value::Null if square => Ok(exact(224)),
        Value::Null => Ok(Target::ShortestEdge(224)),
        Value::Object(map) => {
            let set = |key: &str| map.get(key).filter(|v| !v.is_null());
            if let Some(name) = map.keys().find(|k| !["shortest_edge", "height", "width"].contains(&k.as_str()))
                && set(name).is_some()
            {
                return Err(bad("size", size, "shortest_edge, or height and width"));
            }
            match (set("shortest_edge"), set("height"), set("width")) {
                (Some(edge), None, None) => Ok(Target::ShortestEdge(side("size.shortest_edge", edge)?)),
                (None, Some(h), Some(w)) => {
                    Ok(Target::Exact { height: side("size.height", h)?, width: side("size.width", w)? })
                }
                _ => Err(bad("size", size, "shortest_edge, or height and width")),
            }
        }
        number if square => side("size", number).map(exact),
        number => Ok(Target::ShortestEdge(side("size", number)?)),
    }
}

fn crop(config: &Value) -> Result<(usize, usize)> {
    match &config["crop_size"] {
        Value::Null => Ok((224, 224)),
        size @ Value::Object(_) => {
            Ok((side("crop_size.height", &size["height"])?, side("crop_size.width", &size["width"])?))
        }
        number => side("crop_size", number).map(|s| (s, s)),
    }
}

pub(super) fn channels(config: &Value, name: &str, default: [f32; 3]) -> Result<[f32; 3]> {
    let found = &config[name];
    if found.is_null() {
        return Ok(default);
    }
    let numbers = found.as_array().filter(|a| a.len() == 3 && a.iter().all(Value::is_number));
    let numbers: Option<Vec<f32>> = numbers.map(|a| a.iter().filter_map(|v| v.as_f64().map(|v| v as f32)).collect());
    match numbers.as_deref() {
        Some(&[r, g, b]) if [r, g, b].iter().all(|v| v.is_finite()) => Ok([r, g, b]),
        _ => Err(bad(name, found, "three numbers")),
    }
}

pub(super) fn deviations(config: &Value, default: [f32; 3]) -> Result<[f32; 3]> {
    let std = channels(config, "image_std", default)?;
    if std.iter().all(|&s| s > 0.0) { Ok(std) } else { Err(bad("image_std", &config["image_std"], "numbers above 0")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn wrong_fields_are_named() {
        let fails = |v: Value| ImageProcessor::from_config(&v).unwrap_err().to_string();
        assert!(fails(json!({"size": {"shortest_edge": -3}})).contains("size.shortest_edge is -3"));
        assert!(fails(json!({"image_std": [0.0, 1.0, 1.0]})).contains("image_std"));
        assert!(fails(json!({"image_mean": [0.5]})).contains("three numbers"));
        assert!(fails(json!({"do_resize": "yes"})).contains("do_resize is \"yes\""));
        assert!(fails(json!({"resample": 9})).contains("no filter 9"));
        assert!(fails(json!({"image_processor_type": "OtherProcessor"})).contains("OtherProcessor"));
        assert!(fails(json!([1])).contains("an object"));
        assert!(fails(json!({"do_pan_and_scan": true})).contains("do_pan_and_scan is true"));
        assert!(fails(json!({"size": {"longest_edge": 9}})).contains("longest_edge"));
        assert!(fails(json!({"size": {"shortest_edge": 9, "longest_edge": 9}})).contains("longest_edge"));
        assert!(fails(json!({"size": {"height": 9}})).contains("height and width"));
        assert!(fails(json!({"size": 0})).contains("size is 0"));
        assert!(fails(json!({"image_mean": [1e39, 0, 0]})).contains("three numbers"));
        assert!(fails(json!({"do_pad": true})).contains("only LlavaImageProcessor"));
        assert_eq!(ImageProcessor::from_config(&json!({})).unwrap(), ImageProcessor::clip(224));
    }

    #[test]
    fn what_is_left_out_is_the_default_of_the_kind() {
        let of = |v: Value| ImageProcessor::from_config(&v).unwrap();
        let siglip =
            of(json!({"image_processor_type": "SiglipImageProcessorFast", "size": 384, "do_pan_and_scan": null}));
        assert_eq!(siglip, ImageProcessor::siglip(384));
        let gemma = of(json!({"image_processor_type": "Gemma3ImageProcessor", "do_pan_and_scan": false}));
        assert_eq!(gemma, ImageProcessor { resample: Resample::Bilinear, ..ImageProcessor::siglip(224) });
        let llava = of(json!({"image_processor_type": "LlavaImageProcessor", "do_pad": true}));
        assert_eq!(llava.pad_to_square, Some([122, 116, 104]));
        let old = of(
            json!({"feature_extractor_type": "CLIPFeatureExtractor", "size": {"shortest_edge": 32}, "crop_size": 32}),
        );
        assert_eq!(old, ImageProcessor::clip(32));
    }

    #[test]
    fn a_folder_without_picture_settings_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ImageProcessor::load(dir.path()).unwrap_err().kind(), ErrorKind::Io);
        std::fs::write(dir.path().join("processor_config.json"), "{}").unwrap();
        let e = ImageProcessor::load(dir.path()).unwrap_err().to_string();
        assert!(e.contains("no image_processor") && e.contains("processor_config.json"), "{e}");
        std::fs::write(dir.path().join("preprocessor_config.json"), "{").unwrap();
        assert!(ImageProcessor::load(dir.path()).unwrap_err().to_string().contains("not JSON"));
    }
}
