//! The options of `atc` that are understood.

use super::GearKind;

/// Sizes of a dimension: the least and the largest, -1 for no limit.
pub(crate) type Range = (i64, i64);

/// What to convert, and how.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Options {
    pub(crate) model: String,
    pub(crate) output: String,
    pub(crate) soc: String,
    pub(crate) half: bool,
    /// Shapes by the inputs' names.
    pub(crate) shapes: Vec<(String, Vec<Range>)>,
    pub(crate) gears: Option<(GearKind, Vec<Vec<u64>>)>,
}

/// Options that change nothing here.
const IGNORED: [&str; 4] = ["log", "deterministic", "allow_hf32", "output_type"];

fn range(text: &str) -> Option<Range> {
    let size = |t: &str| t.trim().parse::<i64>().ok();
    Some(match text.split_once('~') {
        Some((lo, hi)) => (size(lo).filter(|&v| v > 0)?, size(hi)?),
        None if text.trim() == "-1" => (1, -1),
        None => {
            let v = size(text).filter(|&v| v > 0)?;
            (v, v)
        }
    })
}

fn shapes(text: &str) -> Option<Vec<(String, Vec<Range>)>> {
    text.split(';')
        .map(|one| {
            // Names may have colons of their own.
            let (name, dims) = one.rsplit_once(':')?;
            Some((name.trim().to_owned(), dims.split(',').map(range).collect::<Option<_>>()?))
        })
        .collect()
}

fn gears(text: &str, apart: char) -> Option<Vec<Vec<u64>>> {
    let size = |t: &str| t.trim().parse::<u64>().ok().filter(|&v| v > 0);
    text.trim_end_matches(apart)
        .split(apart)
        .map(|one| if apart == ',' { Some(vec![size(one)?]) } else { one.split(',').map(size).collect() })
        .collect()
}

/// Takes `--key=value` and `--key value`.
pub(crate) fn parse(arguments: &[String]) -> Result<Options, String> {
    let mut made = Options::default();
    let mut framework = None;
    let mut precision = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let body = argument.strip_prefix("--").ok_or_else(|| format!("E10001: {argument} is no option"))?;
        let (key, value) = match body.split_once('=') {
            Some((k, v)) => (k, v.to_owned()),
            None => (body, rest.next().cloned().ok_or_else(|| format!("E10004: --{body} has no value"))?),
        };
        let wrong = || format!("E10001: value {value:?} for --{key} is invalid");
        let mut geared = |kind, apart| {
            if made.gears.is_some() {
                return Err(
                    "E10009: dynamic_batch_size, dynamic_image_size and dynamic_dims exclude each other".to_owned()
                );
            }
            let found = gears(&value, apart).filter(|g| (2..=100).contains(&g.len())).ok_or_else(wrong)?;
            made.gears = Some((kind, found));
            Ok(())
        };
        match key {
            "model" => made.model = value,
            "output" => made.output = value,
            "soc_version" => made.soc = value,
            "framework" => framework = Some(value),
            "input_format" if ["NCHW", "ND"].contains(&value.as_str()) => {}
            "input_shape" => made.shapes = shapes(&value).ok_or_else(wrong)?,
            "dynamic_batch_size" => geared(GearKind::Batch, ',')?,
            "dynamic_image_size" => geared(GearKind::ImageSize, ';')?,
            "dynamic_dims" => geared(GearKind::Dims, ';')?,
            "precision_mode" | "precision_mode_v2" => {
                let half = match value.as_str() {
                    "origin" | "must_keep_origin_dtype" => false,
                    "fp16" | "force_fp16" => true,
                    _ => return Err(wrong()),
                };
                if precision.replace(half).is_some() {
                    return Err("E10001: precision_mode and precision_mode_v2 exclude each other".to_owned());
                }
            }
            key if IGNORED.contains(&key) => {}
            _ => return Err(wrong()),
        }
    }
    if framework.as_deref() != Some("5") {
        return Err("E10007: --framework=5 (ONNX) is the only one that is simulated".to_owned());
    }
    for (key, value) in [("model", &made.model), ("output", &made.output), ("soc_version", &made.soc)] {
        if value.is_empty() {
            return Err(format!("E10004: --{key} is missing"));
        }
    }
    // As the vendor's: half precision unless told otherwise.
    made.half = precision.unwrap_or(true);
    Ok(made)
}
