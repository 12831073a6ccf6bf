//! What is read, and what every wrong input is answered with.

use super::*;
use vlm_core::ErrorKind;
use vlm_core::lora::peft_config::ModuleNames;
use vlm_core::train::Resume;
use vlm_core::train::optim::ScheduleKind;

/// Loads a file called `name` with `text`, overrides and flags.
fn load(name: &str, text: &str, overrides: &[&str], flags: Vec<Entry>) -> Result<(RunConfig, Vec<String>)> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
    RunConfig::load(FinetuningType::Lora, Some(&path), &overrides, flags)
}

const LEAST: &str = "model_name_or_path: m\ndataset: d.jsonl\n";

fn yaml(more: &str) -> Result<(RunConfig, Vec<String>)> {
    load("run.yaml", &format!("{LEAST}{more}"), &[], Vec::new())
}

#[test]
fn both_kinds_of_file_say_the_same() {
    let (a, _) = load(
        "run.yaml",
        "model_name_or_path: some/model\ndataset: a.json, b.json\nlearning_rate: 1e-4\nlora_target: q_proj,v_proj\n\
         bf16: true\nval_size: 0.1\nmax_grad_norm: 0\nlr_scheduler_type: cosine\nwarmup_ratio: 0.1\n",
        &[],
        Vec::new(),
    )
    .unwrap();
    let (b, _) = load(
        "run.toml",
        "model_name_or_path = \"some/model\"\ndataset = [\"a.json\", \"b.json\"]\nlearning_rate = 1e-4\n\
         lora_target = [\"q_proj\", \"v_proj\"]\nbf16 = true\nval_size = 0.1\nmax_grad_norm = 0\n\
         lr_scheduler_type = \"cosine\"\nwarmup_ratio = 0.1\n",
        &[],
        Vec::new(),
    )
    .unwrap();
    for config in [&a, &b] {
        assert_eq!(config.data.dataset, ["a.json", "b.json"]);
        assert_eq!(config.lora.target_modules, ModuleNames::Names(vec!["q_proj".into(), "v_proj".into()]));
        assert_eq!((config.trainer.learning_rate, config.dtype), (1e-4, Some(DType::BF16)));
        assert_eq!((config.val_size, config.eval_steps), (Some(ValidationSize::Share(0.1)), Some(0)));
        assert_eq!(config.trainer.max_grad_norm, None);
        assert_eq!(config.trainer.output_dir, Path::new("outputs/model-lora"));
    }
    assert_eq!((&a.data, &a.lora), (&b.data, &b.lora));
    assert_eq!(format!("{:?}", a.trainer), format!("{:?}", b.trainer));
}

#[test]
fn defaults_are_those_of_hugging_face_and_llama_factory() {
    let (config, warnings) = yaml("").unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let t = &config.trainer;
    assert_eq!((t.num_train_epochs, t.learning_rate, t.warmup_ratio), (3.0, 5e-5, 0.0));
    assert_eq!((t.lr_scheduler_type, t.max_grad_norm, t.adamw.weight_decay), (ScheduleKind::Linear, Some(1.0), 0.0));
    assert_eq!((t.per_device_train_batch_size, t.save_steps, t.save_total_limit), (8, 500, None));
    assert_eq!((config.lora.r, config.lora.lora_alpha, config.data.conversation.cutoff_len), (8, 16.0, Some(2048)));
    assert_eq!((config.finetuning_type, config.eval_steps, &t.resume), (FinetuningType::Lora, None, &Resume::No));
    let (config, _) = yaml("lora_rank: 4\n").unwrap();
    assert_eq!(config.lora.lora_alpha, 8.0, "twice the rank");
}

#[test]
fn later_layers_win_and_nothing_brings_the_default_back() {
    let file = format!("{LEAST}learning_rate: 1.0e-4\nseed: 1\nsave_steps: 7\nmax_samples: 5\n");
    let flags = vec![Entry::flag("--seed", "seed", Value::Whole(3))];
    let (config, _) = load("run.yml", &file, &["seed=2", "learning_rate=2e-5", "save_steps="], flags).unwrap();
    assert_eq!((config.trainer.seed, config.trainer.learning_rate), (3, 2e-5));
    assert_eq!((config.trainer.save_steps, config.data.max_samples), (500, Some(5)));
    let (config, _) = load("run.yml", &file, &["resume_from_checkpoint=auto", "lora_target=[q, v]"], vec![]).unwrap();
    assert_eq!(config.trainer.resume, Resume::IfThere);
    assert_eq!(config.lora.target_modules, ModuleNames::Names(vec!["q".into(), "v".into()]));
    // A flag and overrides are enough.
    let flags = vec![Entry::flag("--model", "model_name_or_path", "m".into())];
    let (config, _) = RunConfig::load(FinetuningType::Full, None, &["dataset=d".to_owned()], flags).unwrap();
    assert_eq!(config.finetuning_type, FinetuningType::Full);
}

#[test]
fn values_are_read_as_people_write_them() {
    for (text, want) in [
        ("lora_target: all", ModuleNames::AllLinear),
        ("lora_target: q_proj", ModuleNames::Names(vec!["q_proj".into()])),
        ("lora_target: attn.qkv, proj", ModuleNames::Names(vec!["attn.qkv".into(), "proj".into()])),
        (r"lora_target: .*layers\.\d+\.(q|v)_proj", ModuleNames::Regex(r".*layers\.\d+\.(q|v)_proj".into())),
    ] {
        assert_eq!(yaml(text).unwrap().0.lora.target_modules, want, "{text}");
    }
    for (text, want) in [
        ("eval_strategy: no", None),
        ("eval_strategy: steps\nlogging_steps: 5", Some(5)),
        ("eval_steps: 20", Some(20)),
        ("eval_strategy: steps\neval_steps: 20", Some(20)),
    ] {
        assert_eq!(yaml(&format!("val_size: 4\n{text}")).unwrap().0.eval_steps, want, "{text}");
    }
    for (text, want) in [
        ("true", Resume::Must),
        ("false", Resume::No),
        ("null", Resume::No),
        ("auto", Resume::IfThere),
        ("out/checkpoint-5", Resume::From("out/checkpoint-5".into())),
    ] {
        assert_eq!(yaml(&format!("resume_from_checkpoint: {text}")).unwrap().0.trainer.resume, want, "{text}");
    }
    assert!(!yaml("report_to: none").unwrap().0.trainer.tensorboard);
    assert_eq!(yaml("max_steps: -1").unwrap().0.trainer.max_steps, None);
    assert_eq!(yaml("learning_rate: \"1e-4\"").unwrap().0.trainer.learning_rate, 1e-4);
    assert_eq!(yaml("lr_scheduler_type: constant\nwarmup_ratio: 0.1").unwrap().0.trainer.warmup_ratio, 0.0);
    assert_eq!(yaml("model_revision: abc").unwrap().0.lora.revision.as_deref(), Some("abc"));
}

#[test]
fn keys_without_effect_are_named_once_and_what_is_off_is_not() {
    let (_, warnings) = yaml("template: qwen3_vl\nddp_timeout: 180000000\ntrust_remote_code: true\n").unwrap();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings[0].contains("run.yaml, line 3: template has no effect"), "{warnings:?}");
    let off =
        "quantization_bit: null\npacking: false\ndeepspeed:\noptim: adamw_torch\nneftune_noise_alpha: 0\nfsdp: \"\"\n";
    assert!(yaml(off).unwrap().1.is_empty());
    let (_, warnings) =
        yaml("finetuning_type: full\nlora_rank: 4\nfreeze_trainable_layers: 1\neval_steps: 5\n").unwrap();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
}

#[test]
fn every_mistake_names_its_place_and_the_remedy() {
    // What is added to a file that has two lines, and parts of the message.
    let cases: &[(&str, &[&str])] = &[
        ("learnin_rate: 1", &["run.yaml, line 3", "unknown key \"learnin_rate\"", "did you mean learning_rate?"]),
        ("xyzzy: 1", &["unknown key \"xyzzy\"", "docs/training.md"]),
        ("learning_rate: fast", &["line 3: learning_rate is \"fast\", expected a number"]),
        ("learning_rate: [1]", &["learning_rate is a list of 1, expected a number"]),
        ("learning_rate: .nan", &["learning_rate must be positive, found NaN", "learning_rate by", "line 3"]),
        ("learning_rate: .inf", &["learning_rate must be positive, found inf"]),
        ("learning_rate: 0", &["learning_rate must be positive, found 0"]),
        ("learning_rate: -1e-4", &["learning_rate must be positive, found -0.0001"]),
        ("num_train_epochs: 0", &["num_train_epochs must be positive, found 0"]),
        ("num_train_epochs: {a: 1}", &["num_train_epochs is a table or a date, expected a number"]),
        ("per_device_train_batch_size: 0", &["per_device_train_batch_size must be at least 1"]),
        ("per_device_train_batch_size: 1.5", &["per_device_train_batch_size is 1.5, expected a whole number"]),
        ("gradient_accumulation_steps: -1", &["gradient_accumulation_steps is -1, expected a whole number"]),
        ("warmup_ratio: 1.5", &["warmup_ratio must be between 0 and 1, found 1.5"]),
        ("max_steps: 0", &["max_steps must be at least 1"]),
        ("max_steps: -2", &["max_steps is -2"]),
        ("max_grad_norm: -1", &["max_grad_norm must be positive, found -1"]),
        ("adam_beta2: 1", &["adam_beta2 must be from 0 up to (not including) 1, found 1", "adam_beta2 by"]),
        ("weight_decay: -0.1", &["weight_decay must not be negative"]),
        ("seed: -1", &["seed is -1, expected a whole number that is not negative"]),
        ("save_total_limit: 0", &["save_total_limit must be at least 1"]),
        ("lora_rank: 0", &["lora_rank is 0, expected at least 1"]),
        ("lora_alpha: 0", &["lora_alpha is 0, expected a number above 0", "lora_alpha by"]),
        ("lora_alpha: .nan", &["lora_alpha is NaN"]),
        ("lora_dropout: 1", &["lora_dropout is 1, expected 0 up to (not including) 1"]),
        ("lora_target: \"(\"", &["target_modules", "no regular expression"]),
        ("lora_target: []", &["target_modules is an empty list"]),
        ("lora_target: q_proj,,v_proj", &["target_modules is an empty list or has an empty name"]),
        ("lora_bias: some", &["lora_bias is \"some\", expected one of none, all, lora_only"]),
        ("finetuning_type: oft", &["finetuning_type is \"oft\", expected one of lora, full, freeze"]),
        ("stage: dpo", &["stage is \"dpo\", expected one of sft, contrastive"]),
        ("stage: pt", &["stage is \"pt\"", "train_on_prompt"]),
        ("do_train: false", &["do_train is false"]),
        (
            "freeze_vision_tower: true\nfreeze_multi_modal_projector: true\nfreeze_language_model: true",
            &["line 5: freeze_language_model leaves nothing to train"],
        ),
        (
            "finetuning_type: freeze\nfreeze_language_model: true",
            &["line 4: freeze_language_model contradicts finetuning_type freeze"],
        ),
        ("finetuning_type: freeze\nfreeze_trainable_layers: 0", &["freeze_trainable_layers is 0"]),
        ("finetuning_type: full\nuse_dora: true", &["line 4: use_dora needs finetuning_type lora, found full"]),
        ("finetuning_type: full\nadapter_name_or_path: a", &["adapter_name_or_path needs finetuning_type lora"]),
        ("mask_history: true\ntrain_on_prompt: true", &["line 3: mask_history contradicts train_on_prompt"]),
        ("bf16: true\nfp16: true", &["bf16 asks for bf16, but fp16 for f16"]),
        ("bf16: true\ndtype: f32", &["bf16 asks for bf16, but dtype for f32"]),
        ("bf16: maybe", &["bf16 is \"maybe\", expected true or false"]),
        ("dtype: i64", &["dtype is \"i64\", expected auto, f32"]),
        ("val_size: 1.5", &["val_size is 1.5, expected a share below 1 or a whole number of rows"]),
        ("val_size: -1", &["val_size is -1"]),
        ("val_size: .nan", &["val_size is NaN"]),
        ("val_size: 0.1\neval_dataset: e.json", &["val_size and eval_dataset"]),
        ("eval_strategy: epoch", &["eval_strategy is \"epoch\"", "set eval_steps"]),
        ("report_to: wandb", &["report_to is \"wandb\", expected none, tensorboard or all"]),
        ("lr_scheduler_type: polynomial", &["lr_scheduler_type is \"polynomial\", expected one of linear, cosine"]),
        ("cutoff_len: 0", &["cutoff_len is 0"]),
        ("image_max_pixels: 10\nimage_min_pixels: 20", &["line 3: image_max_pixels is 10, below image_min_pixels 20"]),
        ("threads: 0", &["threads is 0"]),
        ("max_samples: 0", &["max_samples is 0"]),
        ("quantization_bit: 4", &["quantization_bit is not supported, found 4"]),
        ("packing: true", &["packing is not supported, found true"]),
        ("deepspeed: ds.json", &["deepspeed is not supported", "one process trains on one device"]),
        ("seed: 1\nseed: 2", &["run.yaml, line 4", "duplicate"]),
        ("seed: 1: 2", &["run.yaml, line 3"]),
        ("seed: [1", &["run.yaml, line"]),
        ("<<: {seed: 1}", &["run.yaml, line 3"]),
    ];
    let mut wrong = Vec::new();
    for (text, parts) in cases {
        match yaml(text) {
            Ok(_) => wrong.push(format!("{text:?} was accepted")),
            Err(e) => {
                assert!(matches!(e.kind(), ErrorKind::Config | ErrorKind::Unsupported), "{e:?}");
                let shown = e.to_string();
                let lacks: Vec<_> = parts.iter().filter(|part| !shown.contains(**part)).collect();
                if !lacks.is_empty() || shown.contains('\n') {
                    wrong.push(format!("{text:?} was answered with {shown:?}, which lacks {lacks:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn overrides_flags_and_toml_are_named_likewise() {
    let over = |text: &str| load("run.yaml", LEAST, &[text], Vec::new()).unwrap_err().to_string();
    for (text, part) in [
        ("learning_rate=x", "override \"learning_rate=x\": learning_rate is \"x\", expected a number"),
        ("learning_rate=.nan", "learning_rate must be positive, found NaN (set: learning_rate by override"),
        ("lerning_rate=1", "did you mean learning_rate?"),
        ("learning_rate", "there is no ="),
        ("=1", "there is no key before the ="),
        ("a b=1", "there is no key before the ="),
        ("seed=[1", "the value is no YAML"),
    ] {
        assert!(over(text).contains(part), "{text}: {}", over(text));
    }
    let flag = Entry::flag("--epochs", "num_train_epochs", Value::Number(f64::NAN));
    let e = load("run.yaml", LEAST, &[], vec![flag]).unwrap_err().to_string();
    assert!(e.contains("num_train_epochs must be positive, found NaN") && e.contains("by flag --epochs"), "{e}");
    for (text, parts) in [
        ("seed = \"x\"", ["run.toml, line 3: seed is \"x\"", "whole number"]),
        ("learning_rate = nan", ["learning_rate must be positive, found NaN", "run.toml, line 3"]),
        ("seed = 1\nseed = 2", ["run.toml, line 4", "duplicate key"]),
        ("[section]\nseed = 2", ["run.toml, line 3: unknown key \"section\"", "docs/training.md"]),
        ("seed = ", ["run.toml, line 3", "seed"]),
        ("seed = 2020-01-01", ["seed is a table or a date", "whole number"]),
    ] {
        let e = load("run.toml", &format!("model_name_or_path = \"m\"\ndataset = \"d\"\n{text}\n"), &[], Vec::new());
        let e = e.unwrap_err().to_string();
        // A missing value is noticed where it is missing: the line is all that counts.
        let parts = if text == "seed = " { &parts[..1] } else { &parts[..] };
        assert!(parts.iter().all(|part| e.contains(part)), "{text}: {e}");
    }
}

#[test]
fn files_that_are_no_config_are_refused() {
    let fails = |name: &str, text: &str| load(name, text, &[], Vec::new()).unwrap_err();
    let e = fails("run.json", "{}").to_string();
    assert!(e.contains("run.json is neither YAML nor TOML") && e.contains("name it .yaml, .yml or .toml"), "{e}");
    assert!(fails("run", LEAST).to_string().contains("neither YAML nor TOML"));
    assert!(fails("run.yaml", "- a\n- b\n").to_string().contains("run.yaml, line 1"));
    assert!(fails("run.yaml", "").to_string().contains("model_name_or_path is not set"));
    assert!(fails("run.yaml", "model_name_or_path: m\n").to_string().contains("dataset is not set"));
    assert!(fails("run.yaml", &format!("{LEAST}---\n{LEAST}")).to_string().contains("run.yaml"));
    assert!(fails("run.yaml", &format!("#{}\n{LEAST}", "x".repeat(1 << 20))).to_string().contains("1048576 bytes"));
    let dir = tempfile::tempdir().unwrap();
    let latin = dir.path().join("latin.yaml");
    std::fs::write(&latin, b"model_name_or_path: \xe9\n").unwrap();
    let at = |path: &Path| RunConfig::load(FinetuningType::Lora, Some(path), &[], Vec::new()).unwrap_err();
    assert!(at(&latin).to_string().contains("latin.yaml is not UTF-8"));
    let e = at(&dir.path().join("missing.toml"));
    assert!(e.kind() == ErrorKind::Io && e.to_string().contains("missing.toml"), "{e}");
    assert_eq!(at(&dir.path().join("sub.yaml/x.yaml")).kind(), ErrorKind::Io);
}

#[test]
fn bombs_and_deep_files_are_refused_without_much_memory() {
    // Nine levels of nine: 387 million values if they were written out.
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..9 {
        let level = vec![format!("*a{}", i - 1); 9].join(", ");
        bomb += &format!("a{i}: &a{i} [{level}]\n");
    }
    let deep = format!("dataset: {}{}\n", "[".repeat(2000), "]".repeat(2000));
    let block: String = (0..500).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    let many: String = (0..200_000).map(|_| "- a\n".to_owned()).collect();
    for (name, text) in [
        ("bomb.yaml", bomb),
        ("deep.yaml", deep.clone()),
        ("block.yaml", block),
        ("many.yaml", format!("dataset:\n{many}")),
        ("deep.toml", deep.replace(": ", " = ")),
        ("anchor.yaml", "a: &a [*a]\n".to_owned()),
    ] {
        let before = std::time::Instant::now();
        let e = load(name, &text, &[], Vec::new()).unwrap_err();
        assert!(e.to_string().contains(name), "{name}: {e}");
        assert!(before.elapsed().as_secs() < 5, "{name} took {:?}", before.elapsed());
    }
}

fn workspace(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

#[test]
fn the_examples_are_read_without_a_warning() {
    for (name, method) in [("lora.yaml", FinetuningType::Lora), ("clip.toml", FinetuningType::Full)] {
        let path = workspace("examples/configs").join(name);
        // The other program reads it too, with the method that the file names.
        for program in [FinetuningType::Lora, FinetuningType::Full] {
            let (config, warnings) = RunConfig::load(program, Some(&path), &[], Vec::new()).unwrap();
            assert!(warnings.is_empty(), "{name}: {warnings:?}");
            assert_eq!(config.finetuning_type, method, "{name}");
        }
    }
}

#[test]
fn the_guide_names_every_key_and_its_examples_are_read() {
    let guide = std::fs::read_to_string(workspace("docs/training.md")).unwrap();
    let missing: Vec<_> = keys::USED.iter().filter(|key| !guide.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "docs/training.md does not name {missing:?}");
    for ending in ["yaml", "toml"] {
        let start = guide.find(&format!("```{ending}\n")).unwrap() + 8;
        let text = &guide[start..start + guide[start..].find("```").unwrap()];
        let (_, warnings) = load(&format!("guide.{ending}"), text, &[], Vec::new()).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
    }
}
