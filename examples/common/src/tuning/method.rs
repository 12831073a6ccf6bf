//! What of a model is trained, and what of it is saved.

use crate::run_config::{FinetuningType, Frozen, RunConfig, Stage, TrainedLayers};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use vlm_core::lora::LoraAdapter;
use vlm_core::lora::peft_config::ModuleNames;
use vlm_core::models::{Model, ModelPart, save_as, set_trainable_parts};

/// A model made ready for training.
#[derive(Debug)]
pub(super) struct Method {
    /// The adapter, if that is what is trained.
    adapter: Option<LoraAdapter>,
    kind: FinetuningType,
    parts: Vec<ModelPart>,
}

impl Method {
    /// Attaches an adapter, or trains parameters of the model itself, as the settings say.
    ///
    /// # Errors
    /// If that leaves nothing to train; those of the adapter.
    pub(super) fn set_up(model: &dyn Model, config: &RunConfig, stage: Stage) -> Result<Self> {
        let parts = parts(&config.frozen, stage)?;
        let kind = config.finetuning_type;
        let adapter = match (kind, &config.adapter_name_or_path) {
            (FinetuningType::Lora, Some(dir)) => {
                let adapter = LoraAdapter::load(model, "default", dir)
                    .with_context(|| format!("adapter_name_or_path {}", dir.display()))?;
                adapter.set_trainable(true)?;
                Some(adapter)
            }
            (FinetuningType::Lora, None) => {
                let mut settings = config.lora.clone();
                // What PEFT wraps a model of this kind in.
                settings.task_type = (stage == Stage::Sft).then(|| "CAUSAL_LM".to_owned());
                let allowed = |path: &str| parts.contains(&model.part(path)) && model.takes_part(path);
                if settings.target_modules == ModuleNames::AllLinear {
                    // By name, as LLaMA-Factory does: what PEFT takes for a linear layer differs from version to version.
                    settings.target_modules = ModuleNames::Names(linear_layers(model, allowed));
                }
                Some(LoraAdapter::inject_where(model, "default", settings, config.trainer.seed, allowed)?)
            }
            (FinetuningType::Full, _) => {
                set_trainable_parts(model, &parts)?;
                None
            }
            (FinetuningType::Freeze, _) => {
                let wanted = layers(model, &config.trained_layers, parts.contains(&ModelPart::Projector))?;
                let trained = |name: &str| parts.contains(&model.part(name)) && model.takes_part(name) && wanted(name);
                model.modules().set_trainable(trained)?;
                None
            }
        };
        // What takes no part would get no gradient: layers after the one whose features are used, in an adapter from elsewhere.
        for param in model.modules().trainable().iter().filter(|p| !model.takes_part(p.name())) {
            param.set_trainable(false)?;
        }
        if let Some(adapter) = &adapter {
            adapter.set_training(true);
        }
        Ok(Method { adapter, kind, parts })
    }

    /// Switches dropout on or off.
    pub(super) fn set_training(&self, training: bool) {
        if let Some(adapter) = &self.adapter {
            adapter.set_training(training);
        }
    }

    /// What a resumed run must have in common with the one it continues.
    pub(super) fn fingerprint(&self, model: &dyn Model) -> Result<Value> {
        let method = match &self.adapter {
            Some(adapter) => {
                let mut settings: Value = serde_json::from_str(&adapter.config().to_json())?;
                // The folder may have moved.
                settings.as_object_mut().map(|s| s.remove("base_model_name_or_path"));
                settings
            }
            None => json!({ "finetuning_type": self.kind.as_str(), "parts": format!("{:?}", self.parts) }),
        };
        Ok(json!({ "config": model.config(), "dtype": model.dtype().name(), "method": method }))
    }

    /// In words, for people.
    pub(super) fn describe(&self) -> String {
        match &self.adapter {
            Some(adapter) => {
                let config = adapter.config();
                let kind = if config.use_dora { "DoRA" } else { "LoRA" };
                format!("{kind} of rank {}, alpha {}", config.r, config.lora_alpha)
            }
            None => format!("{} training", self.kind.as_str()),
        }
    }

    /// Saves the adapter, or the whole model with what belongs to it in `source`, and says where.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub(super) fn save(&self, model: &dyn Model, source: &Path, output: &Path) -> Result<PathBuf> {
        let dir = output.join(self.folder());
        match &self.adapter {
            Some(adapter) => adapter.save(&dir)?,
            None => save_as(model, source, &dir)?,
        }
        Ok(dir)
    }

    /// The folder in the output folder that it saves into.
    fn folder(&self) -> &'static str {
        if self.adapter.is_some() { super::output::ADAPTER } else { super::output::MODEL }
    }
}

/// PEFT's names of the linear layers that `allowed` lets through by our paths, but for the output head.
fn linear_layers(model: &dyn Model, allowed: impl Fn(&str) -> bool) -> Vec<String> {
    let names = model.module_names();
    let linears = model.modules().linears();
    let wanted = linears.iter().map(|l| l.path()).filter(|path| allowed(path) && !path.ends_with("lm_head"));
    wanted.map(|path| names.to_peft(path)).collect()
}

/// The parts that are trained. A vision-language model's tower and projector are frozen unless the settings say otherwise, as
/// in LLaMA-Factory; a dual encoder learns with all of its parts.
fn parts(frozen: &Frozen, stage: Stage) -> Result<Vec<ModelPart>> {
    let usual = stage == Stage::Sft;
    let all = [
        (ModelPart::VisionTower, frozen.vision_tower.unwrap_or(usual)),
        (ModelPart::Projector, frozen.projector.unwrap_or(usual)),
        (ModelPart::LanguageModel, frozen.language_model.unwrap_or(false)),
    ];
    let parts: Vec<ModelPart> = all.into_iter().filter(|(_, frozen)| !frozen).map(|(part, _)| part).collect();
    ensure!(
        !parts.is_empty(),
        "freeze_vision_tower, freeze_multi_modal_projector and freeze_language_model leave nothing to train: set one of \
         them to false"
    );
    Ok(parts)
}

/// Which parameters `freeze` trains, by name: those of some layers, found by number as LLaMA-Factory finds them.
fn layers(model: &dyn Model, wanted: &TrainedLayers, projector: bool) -> Result<impl Fn(&str) -> bool> {
    let config = model.config();
    let count = [&config["text_config"]["num_hidden_layers"], &config["num_hidden_layers"]];
    let count = count.into_iter().find_map(Value::as_u64).context("config.json has no num_hidden_layers")?;
    let some = wanted.layers.unsigned_abs().min(count);
    let numbers = if wanted.layers > 0 { count - some..count } else { 0..some };
    let starts: Vec<String> = match &wanted.modules[..] {
        [] => numbers.map(|i| format!(".{i}.")).collect(),
        modules => numbers.flat_map(|i| modules.iter().map(move |m| format!(".{i}.{m}"))).collect(),
    };
    let names: Vec<String> = model.modules().parameters().iter().map(|p| p.name().to_owned()).collect();
    let inside = |name: &str| name.split('.').any(|part| part.bytes().all(|b| b.is_ascii_digit()));
    for module in &wanted.modules {
        if !names.iter().any(|name| name.contains(&format!(".0.{module}"))) {
            bail!("freeze_trainable_modules: no layer has a module {module:?}");
        }
    }
    for module in &wanted.extra {
        let found = names.iter().filter(|name| !inside(name)).any(|name| name.split('.').any(|part| part == module));
        ensure!(found, "freeze_extra_modules: there is no module {module:?} outside of layers");
    }
    let extra = wanted.extra.clone();
    let of_projector: Vec<String> =
        names.into_iter().filter(|name| projector && model.part(name) == ModelPart::Projector).collect();
    Ok(move |name: &str| {
        starts.iter().any(|start| name.contains(start.as_str()))
            || extra.iter().any(|module| name.split('.').any(|part| part == module))
            || of_projector.iter().any(|other| other == name)
    })
}
