//! The program on models and data of the user's own.

#[path = "../../common/tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use support::{
    device, eval_loss, family, killed_after, log, losses, mean_loss, pictures, refuse, rows, samples, succeed,
};
use vlm_core::DType;
use vlm_core::models::{load, load_dual_encoder, read_config};
use vlm_core::weights::WeightFiles;

const PROGRAM: &str = env!("CARGO_BIN_EXE_train");

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The bytes of all weights of a folder.
fn weights(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = WeightFiles::open(dir).unwrap();
    let bytes = |name: &str| files.tensor(name, &device()).unwrap().to_bytes().unwrap();
    files.names().map(|name| (name.to_owned(), bytes(name))).collect()
}

/// Which of the weights training changed.
fn changed(before: &Path, after: &Path) -> Vec<String> {
    let (mut old, new) = (weights(before), weights(after));
    // Old files of CLIP hold the numbers 0, 1, 2, … as a tensor.
    old.retain(|name, _| !name.ends_with("position_ids"));
    assert_eq!(old.keys().collect::<Vec<_>>(), new.keys().collect::<Vec<_>>(), "no weight is lost or added");
    old.into_iter().filter(|(name, bytes)| new[name] != *bytes).map(|(name, _)| name).collect()
}

#[test]
fn a_model_learns_rows_and_its_folder_is_complete() {
    let Some(llava) = family("llava") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (file, out, model) = (rows(&llava, dir.path()), dir.path().join("out"), llava.join("model"));
    let config = dir.path().join("run.toml");
    let settings = format!(
        "model_name_or_path = {:?}\ndataset = [{:?}]\neval_dataset = {:?}\noutput_dir = {:?}\nnum_train_epochs = 4\n\
         per_device_train_batch_size = 2\ngradient_accumulation_steps = 2\nlearning_rate = 1e-3\nweight_decay = 0.01\n\
         logging_steps = 1\nreport_to = \"none\"\nplot_loss = false\n",
        text(&model),
        text(&file),
        text(&file),
        text(&out)
    );
    std::fs::write(&config, settings).unwrap();
    let (said, _) = succeed(PROGRAM, &[text(&config), "--learning-rate", "1e-2", "--device", "cpu"]);
    let saved = out.join("model");
    assert_eq!(said.lines().last().unwrap(), format!("saved: {}", saved.display()));
    assert!(said.contains("steps: 12 of 4 rows") && said.contains("full training"), "{said}");
    let (first, last) = losses(&out);
    assert!(last < 0.5 * first, "from {first} to {last}");
    assert!(!out.join("runs").exists() && !out.join("training_loss.svg").exists(), "neither was asked for");

    // Everything but the weights is what it was.
    for entry in std::fs::read_dir(&model).unwrap() {
        let name = entry.unwrap().file_name();
        let same = std::fs::read(model.join(&name)).unwrap() == std::fs::read(saved.join(&name)).unwrap();
        assert_eq!(same, !name.to_str().unwrap().ends_with(".safetensors") && name != "config.json", "{name:?}");
    }
    assert_eq!(read_config(&saved).unwrap(), read_config(&model).unwrap());
    // The tower and the projector are frozen unless the settings say otherwise.
    let changed = changed(&model, &saved);
    assert!(!changed.is_empty() && changed.iter().all(|name| name.starts_with("language_model.")), "{changed:?}");
    let fresh = load(&saved, None, &device()).unwrap();
    let (again, want) = (mean_loss(&*fresh, &saved, &samples(&file)), eval_loss(&out));
    assert!((again - want).abs() < 1e-4, "now {again}, in training {want}");
}

#[test]
fn a_resumed_run_ends_as_the_uninterrupted_one() {
    let Some(llava) = family("llava") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (file, model) = (rows(&llava, dir.path()), llava.join("model"));
    let go = |out: &Path, more: &[&str]| {
        let base = ["--model", text(&model), "--dataset", text(&file), "--output", text(out), "--device", "cpu"];
        let settings = ["--max-steps", "6", "--batch", "4", "--save-steps", "2", "--dtype", "bf16", "logging_steps=1"];
        let rest =
            ["freeze_vision_tower=false", "freeze_multi_modal_projector=false", "val_size=0.2", "warmup_ratio=0.3"];
        let args: Vec<&str> = base.iter().chain(&settings).chain(&rest).chain(more).copied().collect();
        succeed(PROGRAM, &args);
    };
    let (whole, part) = (dir.path().join("whole"), dir.path().join("part"));
    go(&whole, &[]);
    killed_after(2, &whole, &part);
    go(&part, &["--resume"]);
    let file = "model/model.safetensors";
    assert!(std::fs::read(part.join(file)).unwrap() == std::fs::read(whole.join(file)).unwrap());
    assert_eq!(log(&part), log(&whole));
    // The element type is that of training, and the configuration says so.
    assert_eq!(read_config(&whole.join("model")).unwrap()["torch_dtype"], "bfloat16");
    let fresh = load(&whole.join("model"), None, &device()).unwrap();
    assert_eq!(fresh.dtype(), DType::BF16);
    let stored = WeightFiles::open(whole.join("model")).unwrap();
    assert!(stored.names().all(|n| stored.tensor(n, &device()).unwrap().dtype() == DType::BF16));
}

#[test]
fn freeze_trains_the_layers_that_were_asked_for() {
    let Some(llava) = family("llava") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (file, model) = (rows(&llava, dir.path()), llava.join("model"));
    let args = |out: &'static str, more: &[&str]| -> Vec<String> {
        let out = dir.path().join(out);
        let base = ["--model", text(&model), "--dataset", text(&file), "--output", text(&out), "--device", "cpu"];
        let rest = ["--max-steps", "2", "finetuning_type=freeze", "learning_rate=1e-2"];
        base.iter().chain(&rest).chain(more).map(|a| (*a).to_owned()).collect()
    };
    let go = |out: &'static str, more: &[&str]| {
        let args = args(out, more);
        succeed(PROGRAM, &args.iter().map(String::as_str).collect::<Vec<_>>());
        changed(&model, &dir.path().join(out).join("model"))
    };
    let last = go("last", &["freeze_trainable_layers=1"]);
    assert!(last.len() > 5 && last.iter().all(|n| n.starts_with("language_model.model.layers.1.")), "{last:?}");
    let first =
        go("first", &["freeze_trainable_layers=-1", "freeze_trainable_modules=mlp", "freeze_extra_modules=lm_head"]);
    assert!(first.iter().all(|n| n.contains("layers.0.mlp") || n.contains("lm_head")) && first.len() == 4, "{first:?}");
    let no = |more: &[&str], parts: &[&str]| {
        let args = args("no", more);
        refuse(PROGRAM, &args.iter().map(String::as_str).collect::<Vec<_>>(), parts);
    };
    no(&["freeze_trainable_modules=xyz"], &["no layer has a module \"xyz\""]);
    no(&["freeze_extra_modules=xyz"], &["there is no module \"xyz\" outside of layers"]);
}

#[test]
fn a_dual_encoder_learns_rows_of_a_registry() {
    let Some(clip) = family("clip") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (data, out, model) = (dir.path().join("data"), dir.path().join("out"), clip.join("model"));
    pictures(&clip, &data);
    let row = |(name, words): (&str, &str)| serde_json::json!({ "ask": "<image>", "say": words, "pic": name });
    let pairs = [("square_56x56.png", "A cat"), ("photo_64x48.png", "The sea"), ("jpeg_90x70.jpg", "A house")];
    let list: Vec<_> = pairs.into_iter().map(row).collect();
    std::fs::write(data.join("pairs.json"), serde_json::to_string(&list).unwrap()).unwrap();
    let info = serde_json::json!({ "mine": { "file_name": "pairs.json",
        "columns": { "prompt": "ask", "response": "say", "images": "pic" } } });
    std::fs::write(data.join("dataset_info.json"), info.to_string()).unwrap();
    let registry = format!("dataset_dir={}", data.display());
    let base = ["--model", text(&model), "--dataset", "mine", &registry, "--output", text(&out), "--device", "cpu"];
    let more = ["--max-steps", "8", "--learning-rate", "3e-3", "logging_steps=1", "freeze_vision_tower=true"];
    let args: Vec<&str> = base.iter().chain(&more).copied().collect();
    succeed(PROGRAM, &args);
    let (first, last) = losses(&out);
    assert!(last < 0.5 * first, "from {first} to {last}");
    load_dual_encoder(&out.join("model"), None, &device()).unwrap();
    let changed = changed(&model, &out.join("model"));
    assert!(changed.iter().any(|n| n.starts_with("text_model")) && changed.contains(&"logit_scale".to_owned()));
    assert!(!changed.iter().any(|n| n.starts_with("vision_model")), "it was frozen");
}
