//! The program on models and data of the user's own.

#[path = "../../common/tests/support/mod.rs"]
mod support;

use std::path::Path;
use support::{
    device, eval_loss, family, killed_after, log, losses, mean_loss, pictures, refuse, rows, samples, succeed,
};
use vlm_core::lora::LoraAdapter;
use vlm_core::models::{DualEncoder, load, load_dual_encoder};

const PROGRAM: &str = env!("CARGO_BIN_EXE_lora");

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn rows_are_learnt_and_the_adapter_gives_the_same_loss_again() {
    let Some(llava) = family("llava") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (file, out, model) = (rows(&llava, dir.path()), dir.path().join("out"), llava.join("model"));
    let config = dir.path().join("run.yaml");
    let settings = format!(
        "model_name_or_path: {}\ndataset: {}\neval_dataset: {}\noutput_dir: {}\nstage: sft\nlora_rank: 4\nlora_dropout: 0.1\n\
         lora_target: all\ntemplate: llava\nnum_train_epochs: 6\nper_device_train_batch_size: 4\nlearning_rate: 1.0e-3\n\
         lr_scheduler_type: cosine\neval_steps: 6\nlogging_steps: 1\nmax_grad_norm: 1.0\nbf16: false\n",
        model.display(),
        file.display(),
        file.display(),
        out.display()
    );
    std::fs::write(&config, settings).unwrap();
    let (said, told) = succeed(PROGRAM, &[text(&config), "learning_rate=2e-2", "--device", "cpu", "--seed", "7"]);
    assert!(told.contains("template has no effect"), "{told}");
    assert_eq!(said.lines().last().unwrap(), format!("saved: {}", out.join("adapter").display()));
    for part in ["12 to learn from, 12 for evaluation, 0 left out", "steps: 18 of 4 rows", "LoRA of rank 4, alpha 8"] {
        assert!(said.contains(part), "{said}");
    }
    let (first, last) = losses(&out);
    assert!(last < 0.6 * first, "from {first} to {last}");
    let evaluated: Vec<_> =
        log(&out).iter().filter(|l| l["eval_loss"].is_f64()).map(|l| l["current_steps"].clone()).collect();
    assert_eq!(evaluated, [6, 12, 18]);
    assert!(out.join("training_loss.svg").is_file() && out.join("runs").is_dir());

    let device = device();
    let fresh = load(&model, None, &device).unwrap();
    let rows = samples(&file);
    let before = mean_loss(&*fresh, &model, &rows);
    let adapter = LoraAdapter::load(&*fresh, "mine", &out.join("adapter")).unwrap();
    let (after, want) = (mean_loss(&*fresh, &model, &rows), eval_loss(&out));
    assert!((after - want).abs() < 1e-4 && after < 0.6 * before, "before {before}, now {after}, in training {want}");
    assert_eq!(adapter.config().base_model_name_or_path.as_deref(), model.to_str());
    // The tower and the projector are frozen, as in LLaMA-Factory.
    assert!(adapter.peft_names().iter().all(|(name, _)| name.contains("language_model")));

    // It goes on from there: the loss begins where it ended.
    let (more, adapter) = (dir.path().join("more"), format!("adapter_name_or_path={}", out.join("adapter").display()));
    succeed(PROGRAM, &[text(&config), &adapter, "--output", text(&more), "max_steps=2", "--device", "cpu"]);
    assert!(losses(&more).0 < 0.6 * first, "{} after {first}", losses(&more).0);
}

#[test]
fn a_resumed_run_ends_as_the_uninterrupted_one_and_folders_are_not_overwritten() {
    let Some(llava) = family("llava") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (file, model) = (rows(&llava, dir.path()), llava.join("model"));
    let args = |out: &Path, more: &[&str]| -> Vec<String> {
        let fixed = ["--model", text(&model), "--dataset", text(&file), "--output", text(out), "--device", "cpu"];
        let settings = ["max_steps=9", "per_device_train_batch_size=4", "learning_rate=1e-2", "save_steps=3"];
        let rest = ["val_size=2", "eval_steps=3", "logging_steps=1", "lora_dropout=0.2", "gradient_checkpointing=true"];
        fixed.iter().chain(&settings).chain(&rest).chain(more).map(|a| (*a).to_owned()).collect()
    };
    let borrowed = |args: &[String]| -> Vec<String> { args.to_vec() };
    let go = |out: &Path, more: &[&str]| {
        let args = borrowed(&args(out, more));
        succeed(PROGRAM, &args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let no = |out: &Path, more: &[&str], parts: &[&str]| {
        let args = args(out, more);
        refuse(PROGRAM, &args.iter().map(String::as_str).collect::<Vec<_>>(), parts);
    };
    let (whole, part) = (dir.path().join("whole"), dir.path().join("part"));
    go(&whole, &[]);
    killed_after(3, &whole, &part);
    no(&part, &["--resume", "learning_rate=2e-2"], &["learning_rate", "other settings"]);
    no(&part, &["--resume", "lora_rank=4"], &["model.method.r", "8 in the checkpoint, 4 now"]);
    go(&part, &["--resume"]);
    for name in ["adapter/adapter_model.safetensors", "adapter/adapter_config.json"] {
        assert_eq!(std::fs::read(part.join(name)).unwrap(), std::fs::read(whole.join(name)).unwrap(), "{name}");
    }
    assert_eq!(log(&part), log(&whole));

    // The folder holds a run: it is continued or overwritten, never mixed.
    no(&whole, &[], &["holds a run already, at step 9", "--resume"]);
    std::fs::write(whole.join("notes.txt"), "mine").unwrap();
    go(&whole, &["overwrite_output_dir=true", "max_steps=3"]);
    assert!(whole.join("notes.txt").is_file() && !whole.join("checkpoint-9").exists());
}

#[test]
fn a_dual_encoder_learns_a_folder_of_pictures_with_captions() {
    let Some(clip) = family("clip") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (data, out, model) = (dir.path().join("pictures"), dir.path().join("out"), clip.join("model"));
    pictures(&clip, &data);
    let base = ["--model", text(&model), "--dataset", text(&data), "--output", text(&out), "--device", "cpu"];
    let more = ["max_steps=10", "learning_rate=1e-2", "logging_steps=1", "use_rslora=true"];
    let args: Vec<&str> = base.iter().chain(&more).copied().collect();
    let (said, _) = succeed(PROGRAM, &args);
    assert!(
        said.contains("(clip)") && said.ends_with(&format!("saved: {}\n", out.join("adapter").display())),
        "{said}"
    );
    let (first, last) = losses(&out);
    assert!(last < 0.5 * first, "from {first} to {last}");
    let fresh = load_dual_encoder(&model, None, &device()).unwrap();
    let adapter = LoraAdapter::load(&*fresh as &dyn DualEncoder, "mine", &out.join("adapter")).unwrap();
    // Both towers learn.
    let has = |part: &str| adapter.peft_names().iter().any(|(name, _)| name.contains(part));
    assert!(has("vision_model") && has("text_model") && adapter.config().use_rslora);
    let again: Vec<&str> = args.iter().copied().chain(["overwrite_output_dir=true", "stage=sft"]).collect();
    refuse(PROGRAM, &again, &["stage is sft, but clip models write no text"]);
}

#[test]
fn parts_and_targets_are_chosen_as_asked() {
    let Some(llava) = family("llava") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (file, model) = (rows(&llava, dir.path()), llava.join("model"));
    let names = |name: &str, more: &[&str]| -> Vec<String> {
        let out = dir.path().join(name);
        let base = ["--model", text(&model), "--dataset", text(&file), "--output", text(&out), "--device", "cpu"];
        let args: Vec<&str> = base.iter().chain(&["max_steps=1"]).chain(more).copied().collect();
        succeed(PROGRAM, &args);
        let fresh = load(&model, None, &device()).unwrap();
        let adapter = LoraAdapter::load(&*fresh, "mine", &out.join("adapter")).unwrap();
        adapter.peft_names().into_iter().map(|(name, _)| name).collect()
    };
    let all = names("all", &["freeze_vision_tower=false", "freeze_multi_modal_projector=false"]);
    assert!(all.iter().any(|n| n.contains("vision_tower")) && all.iter().any(|n| n.contains("projector")), "{all:?}");
    // The features come from the layer before the last: what lies behind it could not learn.
    assert!(!all.iter().any(|n| n.contains("vision_tower") && n.contains("layers.2")), "{all:?}");
    let some = names("some", &["lora_target=q_proj,v_proj"]);
    assert!(some.iter().all(|n| n.contains("language_model") && (n.contains("q_proj") || n.contains("v_proj"))));
    let one = names("one", &[r"lora_target=.*layers\.1\.mlp\.(up|down)_proj", "additional_target=lm_head"]);
    assert!(one.iter().all(|n| n.contains("layers.1.mlp") || n.contains("lm_head")) && one.len() == 5, "{one:?}");
}

#[test]
fn mistakes_end_with_a_message_that_names_them() {
    let Some(llava) = family("llava") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (file, model) = (rows(&llava, dir.path()), llava.join("model"));
    let (file, model, out) = (text(&file), text(&model), dir.path().join("out"));
    let base = ["--model", model, "--dataset", file, "--output", text(&out), "--device", "cpu"];
    let cases: &[(&[&str], &[&str])] = &[
        (&["lerning_rate=1"], &["unknown key \"lerning_rate\"", "did you mean learning_rate?"]),
        (&["--epochs", "NaN"], &["num_train_epochs must be positive, found NaN", "flag --epochs"]),
        (&["learning_rate=0"], &["learning_rate must be positive", "override \"learning_rate=0\""]),
        (&["warmup_steps=100", "max_steps=5"], &["100 warm-up steps are more than the 5 steps", "warmup_steps"]),
        (&["val_size=12"], &["12 rows for validation leave nothing of 12 to train on", "val_size"]),
        (&["lora_target=nothing"], &["match no linear layer", "q_proj"]),
        (&["lora_target=fc1"], &["match layers of frozen parts only"]),
        (&["lora_rank=1000"], &["rank 1000 is more than the layer's"]),
        (&["freeze_language_model=true"], &["leave nothing to train", "set one of them to false"]),
        (&["cutoff_len=5"], &["cutoff_len 5 would cut its pictures", "row-0"]),
        (&["stage=contrastive"], &["stage is contrastive, but llava models write text"]),
        (&["--dataset", "missing.jsonl"], &["missing.jsonl", "dataset_info.json"]),
        (&["adapter_name_or_path=missing"], &["missing"]),
        (&["a.yaml", "b.yaml"], &["b.yaml", "second config file"]),
        (&["missing.yaml"], &["missing.yaml"]),
        (&["--lora-epochs", "3"], &["--lora-epochs belongs to the digits"]),
    ];
    for (more, parts) in cases {
        refuse(PROGRAM, &base.iter().chain(*more).copied().collect::<Vec<_>>(), parts);
    }
    refuse(PROGRAM, &["--model", model], &["dataset is not set", "--dataset"]);
    refuse(PROGRAM, &["--dataset", file], &["model_name_or_path is not set", "--model"]);
    refuse(PROGRAM, &["--image-root", "x"], &["model_name_or_path is not set"]);
    refuse(PROGRAM, &["--model", "no/such", "--dataset", file], &["no/such"]);
    refuse(PROGRAM, &["learning_rate=1e-4"], &["model_name_or_path is not set"]);
    // A result must not replace the model it comes from.
    let own = dir.path().join("out/adapter");
    std::fs::create_dir_all(&own).unwrap();
    let adapter = format!("adapter_name_or_path={}", own.display());
    let args: Vec<&str> = base.iter().copied().chain([adapter.as_str(), "overwrite_output_dir=true"]).collect();
    refuse(PROGRAM, &args, &["would be overwritten"]);
}
