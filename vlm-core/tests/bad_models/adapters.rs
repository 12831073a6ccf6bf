//! I12 to I18, as far as they are about files: adapter folders that are broken in one place each. Whatever is wrong, the
//! model must compute afterwards what it computed before.

use crate::catalogue::{Row, row};
use crate::common::parity_folder;
use crate::folder::{Folder, judge};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use vlm_core::lora::LoraAdapter;
use vlm_core::models::load_auto;
use vlm_core::{Device, Error, ErrorKind, Result};

const CONFIG: &str = "adapter_config.json";
const FILE: &str = "adapter_model.safetensors";

/// A row about a copy of an adapter of LLaVA, changed by `change`.
fn on(number: &'static str, variant: &str, what: &str, change: impl FnOnce(&Folder) + 'static) -> Option<Row> {
    let family = parity_folder("llava")?;
    let (model, adapter) = (family.join("model"), family.join("adapters").join(variant));
    let make = move || {
        let folder = Folder::copy(&adapter);
        change(&folder);
        (model, folder)
    };
    Some(row(number, what, make, |(model, folder)| attach(&model, folder.dir())))
}

/// Loads the adapter and says what became of the model.
fn attach(model: &Path, adapter: &Path) -> Result<String> {
    let model = load_auto(model, None, &Device::reference())?;
    let modules = model.model().modules();
    let sums = || -> Result<Vec<f64>> {
        modules
            .parameters()
            .iter()
            .map(|p| p.tensor()?.detach().to_dtype(vlm_core::DType::F64)?.sum_all()?.item())
            .collect()
    };
    let before = sums()?;
    let attached = LoraAdapter::load(model.model(), "default", adapter);
    if attached.is_err() && (sums()? != before || modules.linears().iter().any(|l| !l.adapters().is_empty())) {
        return Err(Error::new(ErrorKind::Backend, "test", "something of the adapter stayed behind"));
    }
    attached.map(|a| format!("{a:?}"))
}

fn config(number: &'static str, key: &'static str, new: Value, kind: ErrorKind, parts: &[&str]) -> Option<Row> {
    let shown: String = format!("{key} = {new}").chars().take(80).collect();
    on(number, "lora_qv", &shown, move |f| f.set(CONFIG, key, new)).map(|r| r.fails(kind, parts))
}

#[test]
fn settings_of_adapters_that_make_no_sense_are_named() {
    use ErrorKind::{Config, Format, Io, Unsupported};
    let without = |number, what: &str, key: &'static str| {
        on(number, "lora_qv", what, move |f| f.edit(CONFIG, |c| drop(c.as_object_mut().unwrap().shift_remove(key))))
    };
    judge(vec![
        on("I12", "lora_qv", "as it is", |_| ()).map(|r| r.works(&["LoraAdapter"])),
        on("I12", "lora_qv", "no adapter_config.json", |f| f.remove(CONFIG))
            .map(|r| r.fails(Io, &[CONFIG, "No such file", "check the path"])),
        on("I12", "lora_qv", "half of it", |f| f.write(CONFIG, "{\"r\": 4,"))
            .map(|r| r.fails(Format, &[CONFIG, "not a JSON object"])),
        on("I12", "lora_qv", "a list", |f| f.write(CONFIG, "[]"))
            .map(|r| r.fails(Format, &[CONFIG, "not a JSON object"])),
        config("I13", "r", json!(0), Config, &["r is 0, expected 1 to 65536", "file: "]),
        config("I13", "r", json!(-4), Config, &["r is ", "-4", "expected a whole number from 1 to 65536"]),
        config("I13", "r", json!(1_000_000_000), Config, &["r is 1000000000, expected 1 to 65536"]),
        config("I13", "r", json!(65), Format, &["expected shape [65, ", "found [4, ", "q_proj.lora_A.weight"]),
        config("I13", "lora_alpha", json!(0), Config, &["lora_alpha is 0, expected a number above 0", "cannot learn"]),
        config("I13", "lora_alpha", json!("8"), Config, &["lora_alpha is ", "expected a number"]),
        without("I13", "no lora_alpha: PEFT's own, 8", "lora_alpha").map(|r| r.works(&["lora_alpha: 8.0"])),
        config("I13", "lora_dropout", json!(1.5), Config, &["lora_dropout is 1.5, expected 0 up to (not including) 1"]),
        config(
            "I14",
            "target_modules",
            json!(["w1", "w2"]),
            Config,
            &["target_modules", "w1", "match no linear layer", "layers are called"],
        ),
        config("I14", "target_modules", json!([]), Config, &["target_modules is an empty list"]),
        config("I14", "target_modules", json!("(q_proj"), Config, &["target_modules", "is no regular expression"]),
        without("I14", "no target_modules", "target_modules")
            .map(|r| r.fails(Config, &["target_modules is missing", "all-linear"])),
        // One target that there is and one that there is not: the file decides, and it has what it needs.
        config("I14", "target_modules", json!(["q_proj", "v_proj", "w9"]), Config, &[])
            .map(|r| r.works(&["LoraAdapter"])),
        config(
            "I15",
            "peft_type",
            json!("LOHA"),
            Unsupported,
            &["peft_type is \"LOHA\", expected \"LORA\"", "only LoRA adapters"],
        ),
        config("I15", "peft_type", json!("PROMPT_TUNING"), Unsupported, &["peft_type is \"PROMPT_TUNING\""]),
        without("I15", "no peft_type", "peft_type")
            .map(|r| r.fails(Unsupported, &["peft_type is missing, expected \"LORA\""])),
        config("I15", "lora_bias", json!(true), Unsupported, &["\"lora_bias\"", "not supported"]),
        config("I15", "layer_replication", json!([[0, 4]]), Unsupported, &["\"layer_replication\"", "not supported"]),
        config(
            "I15",
            "init_lora_weights",
            json!("pissa"),
            Unsupported,
            &["\"init_lora_weights\"", "path_initial_model_for_weight_conversion"],
        ),
        config("I15", "something_new", json!(3), Unsupported, &["\"something_new\"", "not supported"]),
        config(
            "I15",
            "bias",
            json!("some"),
            Config,
            &["bias is \"some\", expected \"none\", \"all\" or \"lora_only\""],
        ),
    ]);
}

/// Changes the header of the adapter's file.
fn reheaded(f: &Folder, change: impl FnOnce(&mut serde_json::Map<String, Value>)) {
    let bytes = f.read(FILE);
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    change(&mut header);
    let header = Value::Object(header).to_string();
    f.write(FILE, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes[8 + length..]].concat());
}

/// The first tensor of the file under another name.
fn renamed(to: &'static str) -> impl FnOnce(&Folder) {
    move |f| {
        reheaded(f, |h| {
            let name = first(h);
            let info = h.shift_remove(&name).unwrap();
            h.insert(to.to_owned(), info);
        });
    }
}

fn first(header: &serde_json::Map<String, Value>) -> String {
    header.keys().find(|k| *k != "__metadata__").unwrap().clone()
}

#[test]
fn weights_of_adapters_that_do_not_fit_are_listed_and_nothing_stays_attached() {
    use ErrorKind::{Config, Format, Io, NonFinite, Unsupported};
    let q = "base_model.model.model.language_model.layers.9.self_attn.q_proj.lora_A.weight";
    let moved = |f: &Folder, name: &str| std::fs::rename(f.path(FILE), f.path(name)).unwrap();
    judge(vec![
        on("I14", "lora_qv", "a tensor for a layer that the model lacks", renamed(q)).map(|r| {
            r.fails(Format, &["1 tensors are missing: base_model.model.", "another model or other target_modules"])
        }),
        on("I14", "lora_all_linear", "tensors for layers that are not targeted", |f| {
            f.set(CONFIG, "target_modules", json!(["q_proj"]))
        })
        .map(|r| r.fails(Format, &["tensors are for no layer of this model", "and", "more", "other target_modules"])),
        on("I14", "lora_qv", "targets that the file has nothing for", |f| {
            f.set(CONFIG, "target_modules", json!(["q_proj", "v_proj", "k_proj"]))
        })
        .map(|r| r.fails(Format, &["tensors are missing", "k_proj.lora_A.weight"])),
        on("I16", "lora_qv", "another rank than the file has", |f| f.set(CONFIG, "r", json!(8)))
            .map(|r| r.fails(Format, &["lora_A.weight", "expected shape [8, ", "found [4, "])),
        on("I16", "lora_qv", "a tensor of another shape", |f| {
            reheaded(f, |h| {
                let name = first(h);
                h[&name]["shape"].as_array_mut().unwrap().reverse();
            });
        })
        .map(|r| r.fails(Format, &["expected shape [", "found ["])),
        on("I16", "lora_qv", "NaN in a tensor", |f| {
            let mut bytes = f.read(FILE);
            let length = bytes.len();
            bytes[length - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
            f.write(FILE, bytes);
        })
        .map(|r| r.fails(NonFinite, &["holds NaN or infinity", "base_model.model."])),
        on("I16", "lora_qv", "half of the file", |f| {
            let bytes = f.read(FILE);
            f.write(FILE, &bytes[..bytes.len() / 2]);
        })
        .map(|r| r.fails(Format, &[FILE, "fetch the file again"])),
        on("I18", "lora_qv", "no weights", |f| f.remove(FILE))
            .map(|r| r.fails(Io, &[FILE, "No such file", "check the path"])),
        on("I18", "lora_qv", "adapter_model.bin alone", move |f| moved(f, "adapter_model.bin")).map(|r| {
            r.fails(
                Unsupported,
                &["adapter_model.bin, expected adapter_model.safetensors", "never read", "save_pretrained"],
            )
        }),
        on("I18", "lora_qv", "a pickle under the right name", |f| f.write(FILE, b"PK\x03\x04archive/data.pkl"))
            .map(|r| r.fails(Format, &["a PyTorch pickle or zip archive", "can run any code"])),
        on("I18", "lora_qv", "a git-lfs pointer", |f| f.write(FILE, b"version https://git-lfs.github.com/spec/v1\n"))
            .map(|r| r.fails(Format, &["a git-lfs pointer", "git lfs pull"])),
        twice().map(|r| r.fails(Config, &["an adapter called \"default\" is attached already", "another name"])),
        of_another_model().map(|r| r.fails(Format, &["tensors are missing", "another model"])),
    ]);
}

fn twice() -> Option<Row> {
    let family = parity_folder("llava")?;
    let make = move || -> [PathBuf; 2] { ["model", "adapters/lora_qv"].map(|p| family.join(p)) };
    Some(row("I17", "the same name twice", make, |[model, adapter]| {
        let model = load_auto(&model, None, &Device::reference())?;
        let first = LoraAdapter::load(model.model(), "default", &adapter)?;
        LoraAdapter::load(model.model(), "default", &adapter).map(|second| format!("{first:?} {second:?}"))
    }))
}

fn of_another_model() -> Option<Row> {
    let (llava, other) = (parity_folder("llava")?.join("model"), parity_folder("smolvlm")?.join("adapters/lora_qv"));
    Some(row(
        "I14",
        "an adapter of SmolVLM for LLaVA",
        move || (llava, other),
        |(model, adapter)| attach(&model, &adapter),
    ))
}
