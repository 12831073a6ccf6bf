//! J18, J22, J23, J25 to J27: shards, and weights that do not fit or hold no numbers.

use crate::catalogue::family::{forward, picture};
use crate::catalogue::warnings::heard;
use crate::catalogue::{MIB, Row};
use crate::folder::{Folder, everything, judge, load, on, on_version};
use serde_json::{Value, json};
use std::path::Path;
use vlm_core::models::load_auto_with;
use vlm_core::weights::{LoadMode, LoadOptions, WeightFiles};
use vlm_core::{Device, ErrorKind, Result};

const INDEX: &str = "model.safetensors.index.json";
const FILE: &str = "model.safetensors";

/// A row about LLaVA's three shards.
fn shards(what: &str, change: impl FnOnce(&Folder) + 'static, then: fn(&Path) -> Result<String>) -> Option<Row> {
    on_version("J18", "llava", "model_v5", what, change, then)
}

/// Puts the first tensor of the index into another file.
fn first_in(file: &'static str) -> impl FnOnce(&Folder) {
    move |f| {
        f.edit(INDEX, |index| {
            let map = index["weight_map"].as_object_mut().unwrap();
            *map.values_mut().next().unwrap() = json!(file);
        });
    }
}

#[test]
fn indexes_that_lie_are_refused() {
    let outside = |file: &'static str| {
        shards(&format!("a tensor in {file}"), first_in(file), load)
            .map(|r| r.fails(ErrorKind::Format, &["is said to be in", "its own folder", INDEX]))
    };
    let with_warnings = |dir: &Path| {
        let (result, warnings) = heard(|| load(dir));
        result.map(|model| format!("{model}; heard: {warnings}"))
    };
    judge(vec![
        shards("as they are", |_| (), everything).map(|r| r.works(&["finite ["])),
        outside("../../x.safetensors"),
        outside("/etc/x.safetensors"),
        outside("sub/x.safetensors"),
        outside("C:x.safetensors"),
        outside("model.bin"),
        shards("a shard that is not there", |f| f.remove("model-00002-of-00003.safetensors"), load).map(|r| {
            r.fails(ErrorKind::Io, &["model-00002-of-00003.safetensors", "No such file", "named by", "check the path"])
        }),
        shards("a tensor in another shard than it says", first_in("model-00003-of-00003.safetensors"), load).map(|r| {
            r.fails(ErrorKind::Format, &["but the index says \"model-00003-of-00003.safetensors\"", "index: "])
        }),
        shards(
            "a tensor that no shard has",
            |f| f.edit(INDEX, |i| i["weight_map"]["gone"] = json!("model-00001-of-00003.safetensors")),
            load,
        )
        .map(|r| r.fails(ErrorKind::Format, &["tensor \"gone\" is not in \"model-00001-of-00003.safetensors\""])),
        shards(
            "a tensor in two shards",
            |f| f.write("model-00003-of-00003.safetensors", f.read("model-00001-of-00003.safetensors")),
            load,
        )
        .map(|r| {
            r.fails(
                ErrorKind::Format,
                &["is in two shards: model-00001-of-00003.safetensors and model-00003-of-00003.safetensors"],
            )
        }),
        shards("a total size that is wrong", |f| f.set(INDEX, "metadata/total_size", json!(7)), with_warnings)
            .map(|r| r.works(&["AutoModel(", "total_size of the index is not the size of its tensors", "claimed=7"])),
        shards("no map", |f| f.write(INDEX, "{}"), load)
            .map(|r| r.fails(ErrorKind::Format, &["the index is not valid", "weight_map"])),
        shards("half an index", |f| f.write(INDEX, &f.read(INDEX)[..99]), load)
            .map(|r| r.fails(ErrorKind::Format, &["the index is not valid"])),
        shards("an index of 65 MiB", |f| f.write(INDEX, " ".repeat(65 << 20)), load)
            .map(|r| r.fails(ErrorKind::Format, &["is larger than the 67108864 bytes allowed"]).memory(256 * MIB)),
    ]);
}

/// Changes the header of the folder's weights; the data moves on if it becomes longer.
fn reheaded(f: &Folder, change: impl FnOnce(&mut Value)) {
    let bytes = f.read(FILE);
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    change(&mut header);
    let header = header.to_string();
    f.write(FILE, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes[8 + length..]].concat());
}

/// Moves every tensor on by one byte, behind one of a single byte.
fn at_odd_places(f: &Folder) {
    reheaded(f, |header| {
        for (name, info) in header.as_object_mut().unwrap() {
            if name != "__metadata__" {
                for offset in info["data_offsets"].as_array_mut().unwrap() {
                    *offset = json!(offset.as_u64().unwrap() + 1);
                }
            }
        }
        header["first"] = json!({"dtype": "U8", "shape": [1], "data_offsets": [0, 1]});
    });
    let bytes = f.read(FILE);
    let data = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    f.write(FILE, [&bytes[..data], &[7], &bytes[data..]].concat());
}

const NORM: &str = "language_model.model.norm.weight";

#[test]
fn tensors_that_do_not_fit_are_listed() {
    judge(vec![
        on("J26", "llava", "a tensor of another shape", |f| {
            reheaded(f, |h| h["language_model.model.embed_tokens.weight"]["shape"] = json!([64, 416]));
        }, everything)
        .map(|r| {
            r.fails(ErrorKind::Format, &["1 tensors have another shape: language_model.model.embed_tokens.weight (expected [416, 64], found [64, 416])", "same place"])
        }),
        on("J27", "llava", "a tensor under another name", |f| {
            reheaded(f, |h| {
                let map = h.as_object_mut().unwrap();
                let info = map.shift_remove(NORM).unwrap();
                map.insert("language_model.model.nrom.weight".to_owned(), info);
            });
        }, everything)
        .map(|r| {
            r.fails(ErrorKind::Format, &["1 tensors are missing: language_model.model.norm.weight", "1 tensors of the file are not asked for: language_model.model.nrom.weight"])
        }),
        on("J27", "clip", "another model's weights", |f| {
            let from = f.dir().to_path_buf();
            let other = crate::common::parity_folder("siglip").unwrap().join("model").join(FILE);
            std::fs::write(from.join(FILE), std::fs::read(other).unwrap()).unwrap();
        }, everything)
        .map(|r| r.fails(ErrorKind::Format, &["tensors are missing: ", " and ", " more", "tensors of the file are not asked for"])),
        on("J27", "llava", "one tensor more", at_odd_places, |dir| {
            let (result, warnings) = heard(|| load(dir));
            result.map(|model| format!("{model}; heard: {warnings}"))
        })
        .map(|r| r.works(&["tensors that the model does not use", "\"first\"", "count=1"])),
        on("J22", "llava", "every tensor at an odd place", at_odd_places, |dir| {
            forward(dir, &picture(20, 12))
        })
        .map(|r| r.works(&["finite ["])),
        on("J26", "llava", "a tensor of whole numbers", |f| {
            reheaded(f, |h| h[NORM]["dtype"] = json!("I32"));
        }, load)
        .map(|r| r.fails(ErrorKind::Format, &["tensor \"language_model.model.norm.weight\": expected f32, found i32"])),
        on("J26", "llava", "a tensor of a type that we do not compute with", |f| {
            reheaded(f, |h| {
                let map = h.as_object_mut().unwrap();
                map[NORM]["dtype"] = json!("F8_E4M3");
                map[NORM]["shape"] = json!([256]);
            });
        }, load)
        .map(|r| r.fails(ErrorKind::DType, &["language_model.model.norm.weight", "F8_E4M3, which is not supported", "convert the weights"])),
    ]);
}

/// Writes NaN over the first value of the last norm.
fn poisoned(f: &Folder) {
    let files = WeightFiles::open(f.dir()).unwrap();
    let at = files.info(NORM).unwrap().range.start;
    drop(files);
    let mut bytes = f.read(FILE);
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    f.write(FILE, bytes);
}

fn load_with(dir: &Path, options: LoadOptions) -> Result<String> {
    load_auto_with(dir, None, &Device::reference(), options).map(|m| format!("{m:?}"))
}

#[test]
fn values_that_are_no_numbers_and_files_that_shrink_are_noticed_on_request() {
    let read = LoadOptions { mode: LoadMode::Read, ..LoadOptions::default() };
    let verify = LoadOptions { verify: true, ..LoadOptions::default() };
    let shorten = |dir: &Path| std::fs::File::options().write(true).open(dir.join(FILE)).unwrap().set_len(100).unwrap();
    judge(vec![
        on("J25", "llava", "NaN in a weight, looked at", poisoned, move |dir| load_with(dir, verify)).map(|r| {
            r.fails(
                ErrorKind::NonFinite,
                &["1 tensors hold NaN or infinite values", "language_model.model.norm.weight", "element 0"],
            )
        }),
        on("J25", "llava", "NaN in a weight, not looked at", poisoned, load).map(|r| r.works(&["AutoModel("])),
        on("J25", "llava", "good weights, looked at", |_| (), move |dir| load_with(dir, verify))
            .map(|r| r.works(&["AutoModel("])),
        on(
            "J23",
            "llava",
            "a mapped file that was shortened",
            |_| (),
            move |dir| {
                let files = WeightFiles::open(dir)?;
                shorten(dir);
                files.tensor(NORM, &Device::reference()).map(|t| format!("{t:?}"))
            },
        )
        .map(|r| r.fails(ErrorKind::Io, &["was shortened from 723880 to 100 bytes while in use", "LoadMode::Read"])),
        on(
            "J23",
            "llava",
            "a file that was read before it was shortened",
            |_| (),
            move |dir| {
                let model = load_auto_with(dir, None, &Device::reference(), read)?;
                shorten(dir);
                let sum: Vec<bool> = model
                    .model()
                    .modules()
                    .parameters()
                    .iter()
                    .map(|p| p.tensor()?.all_finite())
                    .collect::<Result<_>>()?;
                Ok(format!("{} tensors, all finite: {}", sum.len(), sum.iter().all(|f| *f)))
            },
        )
        .map(|r| r.works(&["tensors, all finite: true"])),
    ]);
}
