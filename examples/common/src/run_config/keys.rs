//! All keys that are known: those that count, and LLaMA-Factory's that change nothing here or are not supported.

use super::source::Entry;
use vlm_core::{Error, ErrorKind, Result};

/// What becomes of a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// It is a setting.
    Used,
    /// It changes nothing here, and why.
    Ignored(&'static str),
    /// It would change results and is not supported, except for these values, which say what is done anyway; and what
    /// to do.
    Refused(&'static [&'static str], &'static str),
}

use Role::{Ignored, Refused, Used};

/// Keys that are settings, by topic.
pub(super) const USED: &[&str] = &[
    // model
    "model_name_or_path",
    "revision",
    "adapter_name_or_path",
    "device",
    "dtype",
    "bf16",
    "fp16",
    "pure_bf16",
    "threads",
    // method
    "stage",
    "do_train",
    "finetuning_type",
    "lora_rank",
    "lora_alpha",
    "lora_dropout",
    "lora_target",
    "lora_bias",
    "use_rslora",
    "use_dora",
    "additional_target",
    "freeze_vision_tower",
    "freeze_multi_modal_projector",
    "freeze_language_model",
    "freeze_trainable_layers",
    "freeze_trainable_modules",
    "freeze_extra_modules",
    // data
    "dataset",
    "eval_dataset",
    "dataset_dir",
    "media_dir",
    "allow_outside_media_dir",
    "allow_duplicate_ids",
    "caption_prompt",
    "max_bad_rows",
    "max_samples",
    "cutoff_len",
    "mask_history",
    "train_on_prompt",
    "image_max_pixels",
    "image_min_pixels",
    // training
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "learning_rate",
    "num_train_epochs",
    "max_steps",
    "lr_scheduler_type",
    "warmup_ratio",
    "warmup_steps",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "max_grad_norm",
    "gradient_checkpointing",
    "seed",
    // evaluation
    "val_size",
    "eval_strategy",
    "eval_steps",
    "per_device_eval_batch_size",
    // output
    "output_dir",
    "overwrite_output_dir",
    "resume_from_checkpoint",
    "logging_steps",
    "save_strategy",
    "save_steps",
    "save_total_limit",
    "plot_loss",
    "report_to",
];

const DEMAND: &str = "rows are prepared when they are needed";
const SAME: &str = "it changes speed or memory, not results";
const DEVICES: &str = "one process trains on one device";
const NOTHING: &str = "there is nothing here that it could change";
const GENERATION: &str = "it is for generation, not for training";
const VIDEO: &str = "pictures are the only media";
const TOKENS: &str = "set HF_TOKEN in the environment";
const LOGGED: &str = "the log and the progress display always have it";

/// Other keys of LLaMA-Factory and of Hugging Face's trainer.
const OTHERS: &[(&str, Role)] = &[
    ("template", Ignored("the model's own chat template is used")),
    ("trust_remote_code", Ignored("code in a model's folder is never run")),
    ("preprocessing_num_workers", Ignored(DEMAND)),
    ("preprocessing_batch_size", Ignored(DEMAND)),
    ("dataloader_num_workers", Ignored(DEMAND)),
    ("dataloader_pin_memory", Ignored(DEMAND)),
    ("dataloader_persistent_workers", Ignored(DEMAND)),
    ("dataloader_prefetch_factor", Ignored(DEMAND)),
    ("overwrite_cache", Ignored(DEMAND)),
    ("data_shared_file_system", Ignored(DEVICES)),
    ("remove_unused_columns", Ignored(NOTHING)),
    ("flash_attn", Ignored(SAME)),
    ("enable_liger_kernel", Ignored(SAME)),
    ("use_liger_kernel", Ignored(SAME)),
    ("use_unsloth", Ignored(SAME)),
    ("use_unsloth_gc", Ignored(SAME)),
    ("use_reentrant_gc", Ignored(SAME)),
    ("disable_gradient_checkpointing", Ignored("it is off unless gradient_checkpointing is true")),
    ("gradient_checkpointing_kwargs", Ignored(SAME)),
    ("low_cpu_mem_usage", Ignored(SAME)),
    ("use_fast_tokenizer", Ignored("tokenizer.json is always used")),
    ("use_cache", Ignored(SAME)),
    ("use_kv_cache", Ignored(SAME)),
    ("torch_compile", Ignored(SAME)),
    ("torch_empty_cache_steps", Ignored(SAME)),
    ("tf32", Ignored("dtype says in which type is computed")),
    ("bf16_full_eval", Ignored("dtype says in which type is computed")),
    ("fp16_full_eval", Ignored("dtype says in which type is computed")),
    ("cache_dir", Ignored("set HF_HUB_CACHE in the environment")),
    ("hf_hub_token", Ignored(TOKENS)),
    ("ms_hub_token", Ignored(TOKENS)),
    ("om_hub_token", Ignored(TOKENS)),
    ("local_rank", Ignored(DEVICES)),
    ("average_tokens_across_devices", Ignored(DEVICES)),
    ("log_on_each_node", Ignored(DEVICES)),
    ("save_on_each_node", Ignored(DEVICES)),
    ("full_determinism", Ignored("runs are always deterministic")),
    ("ignore_data_skip", Ignored("a resumed run goes on exactly where it was")),
    ("save_only_model", Ignored("a checkpoint always has all that a resumed run needs")),
    ("save_safetensors", Ignored("safetensors are the only format")),
    ("logging_dir", Ignored("event files go into output_dir/runs")),
    ("logging_first_step", Ignored(LOGGED)),
    ("logging_nan_inf_filter", Ignored("a loss that is not finite stops the run")),
    ("include_num_input_tokens_seen", Ignored(LOGGED)),
    ("include_tokens_per_second", Ignored(LOGGED)),
    ("include_effective_tokens_per_second", Ignored(LOGGED)),
    ("print_param_status", Ignored(LOGGED)),
    ("disable_tqdm", Ignored("there is a bar where standard error is a terminal")),
    ("log_level", Ignored("set RUST_LOG in the environment")),
    ("log_level_replica", Ignored(DEVICES)),
    ("run_name", Ignored(NOTHING)),
    ("project", Ignored(NOTHING)),
    ("skip_memory_metrics", Ignored(NOTHING)),
    ("prediction_loss_only", Ignored("an evaluation is its loss")),
    ("do_eval", Ignored("there is an evaluation where val_size or eval_dataset says so")),
    ("eval_accumulation_steps", Ignored(SAME)),
    ("metric_for_best_model", Ignored("the last state is what is kept")),
    ("greater_is_better", Ignored("the last state is what is kept")),
    ("video_max_pixels", Ignored(VIDEO)),
    ("video_min_pixels", Ignored(VIDEO)),
    ("video_fps", Ignored(VIDEO)),
    ("video_maxlen", Ignored(VIDEO)),
    ("use_audio_in_video", Ignored(VIDEO)),
    ("audio_sampling_rate", Ignored(VIDEO)),
    ("infer_backend", Ignored(GENERATION)),
    ("infer_dtype", Ignored(GENERATION)),
    ("offload_folder", Ignored(GENERATION)),
    ("eval_num_beams", Ignored(GENERATION)),
    ("do_sample", Ignored(GENERATION)),
    ("temperature", Ignored(GENERATION)),
    ("top_p", Ignored(GENERATION)),
    ("top_k", Ignored(GENERATION)),
    ("max_new_tokens", Ignored(GENERATION)),
    ("quantization_method", Ignored("nothing is quantised")),
    ("quantization_type", Ignored("nothing is quantised")),
    ("double_quantization", Ignored("nothing is quantised")),
    ("loraplus_lr_embedding", Ignored("loraplus_lr_ratio is not supported")),
    ("pissa_iter", Ignored("pissa_init is not supported")),
    ("image_do_pan_and_scan", Refused(&["false"], "pictures are prepared as the model's folder says")),
    ("crop_to_patches", Refused(&["false"], "pictures are prepared as the model's folder says")),
    ("quantization_bit", Refused(&["none"], "train in bf16")),
    ("deepspeed", Refused(&["none"], DEVICES)),
    ("packing", Refused(&["false"], "each row is a sequence of its own")),
    ("neat_packing", Refused(&["false"], "each row is a sequence of its own")),
    ("neftune_noise_alpha", Refused(&["0"], "leave it out")),
    ("label_smoothing_factor", Refused(&["0"], "leave it out")),
    ("optim", Refused(&["adamw_torch", "adamw_torch_fused", "adamw_hf"], "AdamW is the optimizer")),
    ("optim_args", Refused(&[""], "AdamW is the optimizer")),
    ("lr_scheduler_kwargs", Refused(&[], "use linear, cosine, constant or constant_with_warmup")),
    ("mix_strategy", Refused(&["concat"], "datasets are put one after the other and shuffled")),
    ("interleave_probs", Refused(&[], "datasets are put one after the other and shuffled")),
    ("streaming", Refused(&["false"], "rows are checked before training starts; pictures are opened when needed")),
    ("tokenized_path", Refused(&[], "give the dataset itself")),
    ("default_system", Refused(&[], "give system messages in the dataset")),
    ("tool_format", Refused(&[], "the model's own chat template is used")),
    ("enable_thinking", Refused(&["true"], "the model's own chat template is used")),
    ("preserve_thinking", Refused(&["false"], "the model's own chat template is used")),
    ("ignore_pad_token_for_loss", Refused(&["true"], "padding is never learnt")),
    ("rope_scaling", Refused(&[], "set it in config.json")),
    ("model_max_length", Refused(&[], "use cutoff_len")),
    ("shift_attn", Refused(&["false"], "leave it out")),
    ("mixture_of_depths", Refused(&[], "leave it out")),
    ("resize_vocab", Refused(&["false"], "leave it out")),
    ("add_tokens", Refused(&[], "leave it out")),
    ("add_special_tokens", Refused(&[], "leave it out")),
    ("new_special_tokens_config", Refused(&[], "leave it out")),
    ("split_special_tokens", Refused(&["false"], "leave it out")),
    ("train_from_scratch", Refused(&["false"], "training starts from the weights of the model's folder")),
    ("upcast_layernorm", Refused(&["false"], "set dtype to f32")),
    ("upcast_lmhead_output", Refused(&["false"], "the loss is always computed in f32")),
    ("moe_aux_loss_coef", Refused(&[], "leave it out")),
    ("loraplus_lr_ratio", Refused(&[], "leave it out")),
    ("pissa_init", Refused(&["false"], "adapters start as PEFT's default does")),
    ("pissa_convert", Refused(&["false"], "adapters start as PEFT's default does")),
    ("create_new_adapter", Refused(&["false"], "merge the first adapter into the model, then tune that")),
    ("adapter_folder", Refused(&[], "give the folder itself as adapter_name_or_path")),
    ("disable_shuffling", Refused(&["false"], "rows are shuffled by the seed")),
    ("data_seed", Refused(&[], "seed decides the order of rows, too")),
    ("group_by_length", Refused(&["false"], "rows are shuffled by the seed")),
    ("train_sampling_strategy", Refused(&["random"], "rows are shuffled by the seed")),
    ("dataloader_drop_last", Refused(&["false"], "every row is learnt")),
    ("auto_find_batch_size", Refused(&["false"], "set per_device_train_batch_size")),
    ("logging_strategy", Refused(&["steps"], "set logging_steps")),
    ("eval_delay", Refused(&["0"], "leave it out")),
    ("eval_on_start", Refused(&["false"], "leave it out")),
    ("eval_on_each_dataset", Refused(&["false"], "all rows for evaluation are judged together")),
    ("compute_accuracy", Refused(&["false"], "an evaluation is its loss")),
    ("predict_with_generate", Refused(&["false"], "an evaluation is its loss")),
    ("do_predict", Refused(&["false"], "these programs train")),
    ("load_best_model_at_end", Refused(&["false"], "the last state is what is kept")),
    ("early_stopping_steps", Refused(&[], "leave it out")),
    ("push_to_hub", Refused(&["false"], "upload the folder that was saved")),
    ("use_cpu", Refused(&["false"], "set device: cpu")),
    ("no_cuda", Refused(&["false"], "set device: cpu")),
    ("fp8", Refused(&["false"], "use bf16")),
    ("use_swanlab", Refused(&["false"], "use report_to: tensorboard")),
    ("use_galore", Refused(&["false"], "AdamW is the optimizer")),
    ("use_apollo", Refused(&["false"], "AdamW is the optimizer")),
    ("use_badam", Refused(&["false"], "AdamW is the optimizer")),
    ("use_adam_mini", Refused(&["false"], "AdamW is the optimizer")),
    ("use_muon", Refused(&["false"], "AdamW is the optimizer")),
    ("use_llama_pro", Refused(&["false"], "leave it out")),
    ("use_mca", Refused(&["false"], DEVICES)),
    ("use_dft_loss", Refused(&["false"], "leave it out")),
    ("use_asft_loss", Refused(&["false"], "leave it out")),
    ("use_eaft_loss", Refused(&["false"], "leave it out")),
    ("ref_model", Refused(&[], "the stage is sft")),
    ("reward_model", Refused(&[], "the stage is sft")),
    ("export_dir", Refused(&[], "the model or adapter goes into output_dir")),
];

/// Beginnings of keys that belong together.
const FAMILIES: &[(&str, Role)] = &[
    ("ddp_", Ignored(DEVICES)),
    ("vllm_", Ignored(GENERATION)),
    ("sglang_", Ignored(GENERATION)),
    ("generation_", Ignored(GENERATION)),
    ("swanlab_", Ignored("use_swanlab is not supported")),
    ("galore_", Ignored("use_galore is not supported")),
    ("apollo_", Ignored("use_apollo is not supported")),
    ("badam_", Ignored("use_badam is not supported")),
    ("hub_", Ignored("push_to_hub is not supported")),
    ("torch_compile_", Ignored(SAME)),
    ("pref_", Ignored("the stage is sft")),
    ("dpo_", Ignored("the stage is sft")),
    ("kto_", Ignored("the stage is sft")),
    ("simpo_", Ignored("the stage is sft")),
    ("ppo_", Ignored("the stage is sft")),
    ("fsdp", Refused(&["", "false", "none"], DEVICES)),
    ("ray_", Refused(&[], DEVICES)),
    ("oft_", Refused(&[], "finetuning_type is lora, full or freeze")),
];

/// What becomes of a key, or that nobody knows it.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for a key that would change results and cannot be honoured, [`ErrorKind::Config`] for an unknown one,
/// with the nearest known one.
pub(super) fn judge(entry: &Entry, warnings: &mut Vec<String>) -> Result<bool> {
    let Entry { key, value, source } = entry;
    match role(key) {
        Some(Used) => Ok(true),
        Some(Ignored(why)) => {
            warnings.push(format!("{source}: {key} has no effect: {why}"));
            Ok(false)
        }
        Some(Refused(off, remedy)) => {
            let plain = value.plain();
            if plain.as_deref().is_some_and(|v| v == "null" || off.contains(&v)) {
                return Ok(false);
            }
            let message = format!("{source}: {key} is not supported, found {value}");
            Err(Error::new(ErrorKind::Unsupported, super::parse::OP, message).hint(remedy))
        }
        None => {
            let error = Error::new(ErrorKind::Config, super::parse::OP, format!("{source}: unknown key {key:?}"));
            Err(match nearest(key) {
                Some(near) => error.hint(format!("did you mean {near}?")),
                None => error.hint("docs/training.md lists all keys"),
            })
        }
    }
}

fn role(key: &str) -> Option<Role> {
    if USED.contains(&key) {
        return Some(Used);
    }
    let other = OTHERS.iter().find(|(name, _)| *name == key);
    other.or_else(|| FAMILIES.iter().find(|(start, _)| key.starts_with(start))).map(|(_, role)| *role)
}

/// The setting whose name is most like `key`, if any is.
fn nearest(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase().replace('-', "_");
    let scored = USED.iter().copied().map(|name| (strsim::normalized_damerau_levenshtein(&key, name), name));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(score, _)| *score >= 0.6).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_role_and_one_place() {
        let mut names: Vec<&str> = USED.iter().copied().chain(OTHERS.iter().map(|(name, _)| *name)).collect();
        names.sort_unstable();
        let twice: Vec<_> = names.windows(2).filter(|w| w[0] == w[1]).collect();
        assert!(twice.is_empty(), "{twice:?}");
        // A family must not hide a setting.
        assert!(USED.iter().all(|key| matches!(role(key), Some(Used))));
    }

    #[test]
    fn the_nearest_key_is_found_for_slips_of_the_finger() {
        for (slip, meant) in [
            ("learning-rate", "learning_rate"),
            ("learning_rat", "learning_rate"),
            ("lora_r", "lora_rank"),
            ("num_epochs", "num_train_epochs"),
            ("Output_Dir", "output_dir"),
        ] {
            assert_eq!(nearest(slip), Some(meant), "{slip}");
        }
        assert_eq!(nearest("xyzzy"), None);
    }
}
