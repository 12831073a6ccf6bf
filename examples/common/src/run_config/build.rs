//! From entries to settings: defaults, types, contradictions.

use super::parse::OP;
use super::reader::Reader;
use super::{DataConfig, FinetuningType, Frozen, RunConfig, Stage, TrainedLayers, explain};
use std::path::{Path, PathBuf};
use vlm_core::data::ValidationSize;
use vlm_core::lora::PeftConfig;
use vlm_core::lora::peft_config::{Bias, ModuleNames};
use vlm_core::train::optim::{AdamWOptions, ScheduleKind};
use vlm_core::train::{ConversationOptions, Resume, TrainerOptions};
use vlm_core::{DType, Error, ErrorKind, Result};

/// Settings that say something about one method alone.
const OF_LORA: [&str; 8] = [
    "lora_rank",
    "lora_alpha",
    "lora_dropout",
    "lora_target",
    "lora_bias",
    "use_rslora",
    "use_dora",
    "additional_target",
];
const OF_FREEZE: [&str; 3] = ["freeze_trainable_layers", "freeze_trainable_modules", "freeze_extra_modules"];

pub(super) fn build(method: FinetuningType, r: &Reader, warnings: &mut Vec<String>) -> Result<RunConfig> {
    let missing = |what: &str, hint: &str| Error::new(ErrorKind::Config, OP, what.to_owned()).hint(hint.to_owned());
    let model = r.text("model_name_or_path")?.ok_or_else(|| {
        missing(
            "there is no model: model_name_or_path is not set",
            "give its folder with --model or in the config file",
        )
    })?;
    let data = data(r)?.ok_or_else(|| {
        missing("there is no data: dataset is not set", "give a file or folder with --dataset or in the config file")
    })?;
    if r.flag("do_train")? == Some(false) {
        return Err(r.wrong("do_train", "is false, but these programs train").hint("leave it out"));
    }
    let (stage, kinds) = (
        r.word("stage", &[("sft", Some(Stage::Sft)), ("contrastive", Some(Stage::Contrastive)), ("pt", None)])?,
        [("lora", FinetuningType::Lora), ("full", FinetuningType::Full), ("freeze", FinetuningType::Freeze)],
    );
    if stage == Some(None) {
        let error = r.wrong("stage", "is \"pt\", expected one of sft, contrastive");
        return Err(error.hint("train_on_prompt: true with stage sft learns every token"));
    }
    let kind = r.word("finetuning_type", &kinds)?.unwrap_or(method);
    check_method(kind, r, warnings)?;
    let mut lora = lora(r)?;
    lora.base_model_name_or_path = Some(model.clone());
    lora.revision = r.text("revision")?;
    lora.validate().map_err(|e| explain(&r.sources(), e))?;
    let trainer = trainer(r, &model, kind, warnings)?;
    trainer.validate().map_err(|e| explain(&r.sources(), e))?;
    let val_size = val_size(r)?;
    if val_size.is_some() && !data.eval_dataset.is_empty() {
        return Err(r
            .wrong("val_size", "and eval_dataset both say which rows are for evaluation")
            .hint("give one of them"));
    }
    let has_rows = val_size.is_some() || !data.eval_dataset.is_empty();
    Ok(RunConfig {
        revision: lora.revision.clone(),
        adapter_name_or_path: r.text("adapter_name_or_path")?.map(PathBuf::from),
        device: r.text("device")?.unwrap_or_else(|| "auto".to_owned()),
        dtype: dtype(r, warnings)?,
        threads: r.positive("threads")?,
        stage: stage.flatten(),
        finetuning_type: kind,
        lora,
        frozen: frozen(kind, r)?,
        trained_layers: trained_layers(r)?,
        data,
        val_size,
        eval_steps: eval_steps(r, has_rows, trainer.logging_steps, warnings)?,
        gradient_checkpointing: r.flag("gradient_checkpointing")?.unwrap_or(false),
        overwrite_output_dir: r.flag("overwrite_output_dir")?.unwrap_or(false),
        trainer,
        model_name_or_path: model,
        sources: r.sources(),
    })
}

/// Settings of another method than `kind`: what would give another result is an error, as in LLaMA-Factory.
fn check_method(kind: FinetuningType, r: &Reader, warnings: &mut Vec<String>) -> Result<()> {
    let (lora, freeze) = (kind == FinetuningType::Lora, kind == FinetuningType::Freeze);
    for key in ["use_rslora", "use_dora"] {
        if !lora && r.flag(key)? == Some(true) {
            return Err(r.wrong(key, format!("needs finetuning_type lora, found {}", kind.as_str())));
        }
    }
    if !lora && r.has("adapter_name_or_path") {
        let what = format!("needs finetuning_type lora, found {}", kind.as_str());
        return Err(r.wrong("adapter_name_or_path", what).hint("merge the adapter into the model to train all of it"));
    }
    let idle = OF_LORA.iter().filter(|_| !lora).chain(OF_FREEZE.iter().filter(|_| !freeze)).filter(|key| r.has(key));
    warnings.extend(idle.map(|key| format!("{key} has no effect with finetuning_type {}", kind.as_str())));
    if lora && r.has("adapter_name_or_path") {
        let own = OF_LORA.iter().filter(|key| r.has(key));
        warnings.extend(own.map(|key| format!("{key} has no effect: the adapter has settings of its own")));
    }
    Ok(())
}

fn lora(r: &Reader) -> Result<PeftConfig> {
    let rank = r.positive("lora_rank")?.unwrap_or(8);
    let target = match r.text_or_list("lora_target")? {
        None => ModuleNames::AllLinear,
        Some(Ok(text)) => target(&text),
        Some(Err(list)) => ModuleNames::Names(list),
    };
    let mut lora = PeftConfig::new(rank, r.number("lora_alpha")?.unwrap_or(2.0 * rank as f64), target);
    lora.lora_dropout = r.number("lora_dropout")?.unwrap_or(0.0);
    lora.use_rslora = r.flag("use_rslora")?.unwrap_or(false);
    lora.use_dora = r.flag("use_dora")?.unwrap_or(false);
    lora.modules_to_save = r.names("additional_target")?.unwrap_or_default();
    let biases = [("none", Bias::None), ("all", Bias::All), ("lora_only", Bias::LoraOnly)];
    lora.bias = r.word("lora_bias", &biases)?.unwrap_or_default();
    Ok(lora)
}

/// `all`, names with commas between them, or a regular expression, which has characters that no name has.
fn target(text: &str) -> ModuleNames {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    let plain = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    match text {
        "all" | "all-linear" => ModuleNames::AllLinear,
        _ if names.iter().all(plain) => ModuleNames::Names(names),
        _ => ModuleNames::Regex(text.to_owned()),
    }
}

fn frozen(kind: FinetuningType, r: &Reader) -> Result<Frozen> {
    let frozen = Frozen {
        vision_tower: r.flag("freeze_vision_tower")?,
        projector: r.flag("freeze_multi_modal_projector")?,
        language_model: r.flag("freeze_language_model")?,
    };
    if frozen.language_model == Some(true) {
        if kind == FinetuningType::Freeze {
            let what = "contradicts finetuning_type freeze, which trains layers of the language model";
            return Err(r.wrong("freeze_language_model", what).hint("use finetuning_type full to train another part"));
        }
        if frozen.vision_tower == Some(true) && frozen.projector == Some(true) {
            let what = "leaves nothing to train beside freeze_vision_tower and freeze_multi_modal_projector";
            return Err(r.wrong("freeze_language_model", what).hint("set one of the three to false"));
        }
    }
    Ok(frozen)
}

fn trained_layers(r: &Reader) -> Result<TrainedLayers> {
    let layers = r.whole("freeze_trainable_layers", "a whole number")?.unwrap_or(2);
    if layers == 0 {
        let error = r.wrong("freeze_trainable_layers", "is 0, which trains nothing");
        return Err(error.hint("2 trains the last two layers, -2 the first two"));
    }
    let mut modules = r.names("freeze_trainable_modules")?.unwrap_or_default();
    if modules.iter().any(|m| m == "all") {
        modules.clear();
    }
    Ok(TrainedLayers { layers, modules, extra: r.names("freeze_extra_modules")?.unwrap_or_default() })
}

fn data(r: &Reader) -> Result<Option<DataConfig>> {
    let Some(dataset) = r.names("dataset")? else { return Ok(None) };
    let (mask_history, train_on_prompt) =
        (r.flag("mask_history")?.unwrap_or(false), r.flag("train_on_prompt")?.unwrap_or(false));
    if mask_history && train_on_prompt {
        let what = "contradicts train_on_prompt: the last answer alone, or everything";
        return Err(r.wrong("mask_history", what).hint("set one of them to false"));
    }
    let (image_max_pixels, image_min_pixels) = (r.positive("image_max_pixels")?, r.positive("image_min_pixels")?);
    if let (Some(max), Some(min)) = (image_max_pixels, image_min_pixels)
        && max < min
    {
        return Err(r.wrong("image_max_pixels", format!("is {max}, below image_min_pixels {min}")));
    }
    Ok(Some(DataConfig {
        dataset,
        eval_dataset: r.names("eval_dataset")?.unwrap_or_default(),
        dataset_dir: r.text("dataset_dir")?.unwrap_or_else(|| "data".to_owned()).into(),
        media_dir: r.text("media_dir")?.map(PathBuf::from),
        allow_outside_media_dir: r.flag("allow_outside_media_dir")?.unwrap_or(false),
        allow_duplicate_ids: r.flag("allow_duplicate_ids")?.unwrap_or(false),
        caption_prompt: r.text("caption_prompt")?.unwrap_or_default(),
        max_bad_rows: r.count("max_bad_rows")?.unwrap_or(0),
        max_samples: r.positive("max_samples")?,
        conversation: ConversationOptions {
            cutoff_len: Some(r.positive("cutoff_len")?.unwrap_or(2048)),
            mask_history,
            train_on_prompt,
            image_max_pixels,
            image_min_pixels,
        },
    }))
}

fn dtype(r: &Reader, warnings: &mut Vec<String>) -> Result<Option<DType>> {
    let mut asked: Vec<(&str, DType)> = Vec::new();
    for (key, dtype) in [("bf16", DType::BF16), ("pure_bf16", DType::BF16), ("fp16", DType::F16)] {
        if r.flag(key)? == Some(true) {
            asked.push((key, dtype));
        }
    }
    if let Some(name) = r.text("dtype")?.filter(|name| !name.eq_ignore_ascii_case("auto")) {
        let wrong = || r.wrong("dtype", format!("is {name:?}, expected auto, f32, bf16, f16 or f64"));
        let dtype: DType = name.parse().map_err(|_| wrong())?;
        if !dtype.is_float() {
            return Err(wrong());
        }
        asked.push(("dtype", dtype));
    }
    let Some((first, dtype)) = asked.first().copied() else { return Ok(None) };
    if let Some((other, another)) = asked.iter().find(|(_, d)| *d != dtype) {
        return Err(r.wrong(first, format!("asks for {dtype}, but {other} for {another}")).hint("keep one of them"));
    }
    if dtype == DType::F16 {
        warnings.push("f16 is trained without scaling the loss: small gradients become 0; bf16 is safer".to_owned());
    }
    Ok(Some(dtype))
}

fn val_size(r: &Reader) -> Result<Option<ValidationSize>> {
    let Some(size) = r.number("val_size")? else { return Ok(None) };
    match size {
        0.0 => Ok(None),
        x if x > 0.0 && x < 1.0 => Ok(Some(ValidationSize::Share(x))),
        x if x >= 1.0 && x.fract() == 0.0 && x < 9e15 => Ok(Some(ValidationSize::Rows(x as usize))),
        x => Err(r.wrong("val_size", format!("is {x}, expected a share below 1 or a whole number of rows"))),
    }
}

fn eval_steps(r: &Reader, has_rows: bool, logging_steps: u64, warnings: &mut Vec<String>) -> Result<Option<u64>> {
    let strategy = r.word("eval_strategy", &[("no", "no"), ("steps", "steps"), ("epoch", "epoch")])?;
    let steps = r.positive("eval_steps")?.map(|n| n as u64);
    if strategy == Some("epoch") {
        return Err(r.wrong("eval_strategy", "is \"epoch\", which is not supported").hint("set eval_steps"));
    }
    if !has_rows {
        if steps.is_some() || strategy == Some("steps") {
            warnings.push("there is no evaluation: neither val_size nor eval_dataset is set".to_owned());
        }
        return Ok(None);
    }
    Ok(match (strategy, steps) {
        (Some("no"), _) => None,
        (_, Some(steps)) => Some(steps),
        (Some(_), None) => Some(logging_steps),
        (None, None) => Some(0),
    })
}

fn trainer(r: &Reader, model: &str, kind: FinetuningType, warnings: &mut Vec<String>) -> Result<TrainerOptions> {
    let name = Path::new(model).file_name().map_or_else(|| "model".into(), |n| n.to_string_lossy());
    let output = r.text("output_dir")?.unwrap_or_else(|| format!("outputs/{name}-{}", kind.as_str()));
    // Hugging Face's defaults, whatever the library's are: a file means the same in both.
    let schedules = [
        ("linear", (ScheduleKind::Linear, true)),
        ("cosine", (ScheduleKind::Cosine, true)),
        ("constant", (ScheduleKind::Constant, false)),
        ("constant_with_warmup", (ScheduleKind::Constant, true)),
    ];
    let (schedule, warms_up) = r.word("lr_scheduler_type", &schedules)?.unwrap_or((ScheduleKind::Linear, true));
    let (mut warmup_ratio, mut warmup_steps) =
        (r.number("warmup_ratio")?.unwrap_or(0.0), r.count("warmup_steps")?.filter(|n| *n > 0).map(|n| n as u64));
    if !warms_up && (warmup_ratio != 0.0 || warmup_steps.is_some()) {
        warnings.push("there is no warm-up: use lr_scheduler_type constant_with_warmup for one".to_owned());
        (warmup_ratio, warmup_steps) = (0.0, None);
    }
    let max_steps = r.whole("max_steps", "a whole number")?.filter(|n| *n != -1);
    let max_steps = max_steps.map(|n| u64::try_from(n).map_err(|_| r.wrong("max_steps", format!("is {n}"))));
    let report = r.names("report_to")?.unwrap_or_else(|| vec!["tensorboard".to_owned()]);
    if let Some(other) = report.iter().find(|name| !["none", "tensorboard", "all"].contains(&name.as_str())) {
        return Err(r.wrong("report_to", format!("is {other:?}, expected none, tensorboard or all")));
    }
    let save_every = r.word("save_strategy", &[("no", Some(false)), ("steps", Some(true)), ("epoch", None)])?;
    if save_every == Some(None) {
        return Err(r.wrong("save_strategy", "is \"epoch\", which is not supported").hint("set save_steps"));
    }
    let seed = r.count("seed")?.unwrap_or(42) as u64;
    Ok(TrainerOptions {
        num_train_epochs: r.number("num_train_epochs")?.unwrap_or(3.0),
        max_steps: max_steps.transpose()?,
        per_device_train_batch_size: r.count("per_device_train_batch_size")?.unwrap_or(8),
        per_device_eval_batch_size: r.count("per_device_eval_batch_size")?.unwrap_or(8),
        gradient_accumulation_steps: r.count("gradient_accumulation_steps")?.unwrap_or(1),
        learning_rate: r.number("learning_rate")?.unwrap_or(5e-5),
        lr_scheduler_type: schedule,
        warmup_ratio,
        warmup_steps,
        // 0 switches clipping off.
        max_grad_norm: Some(r.number("max_grad_norm")?.unwrap_or(1.0)).filter(|norm| *norm != 0.0),
        adamw: AdamWOptions {
            betas: (r.number("adam_beta1")?.unwrap_or(0.9), r.number("adam_beta2")?.unwrap_or(0.999)),
            eps: r.number("adam_epsilon")?.unwrap_or(1e-8),
            weight_decay: r.number("weight_decay")?.unwrap_or(0.0),
            decay_matrices_only: true,
        },
        seed,
        logging_steps: r.count("logging_steps")?.unwrap_or(10) as u64,
        save_steps: if save_every == Some(Some(false)) { 0 } else { r.count("save_steps")?.unwrap_or(500) as u64 },
        save_total_limit: r.count("save_total_limit")?,
        resume: match r.flag_or_text("resume_from_checkpoint")? {
            None | Some(Ok(false)) => Resume::No,
            Some(Ok(true)) => Resume::Must,
            Some(Err(word)) if word == "auto" => Resume::IfThere,
            Some(Err(path)) => Resume::From(path.into()),
        },
        tensorboard: !report.iter().any(|name| name == "none"),
        plot_loss: r.flag("plot_loss")?.unwrap_or(true),
        ..TrainerOptions::new(output)
    })
}
