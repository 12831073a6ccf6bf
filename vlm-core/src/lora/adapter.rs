//! An adapter over a whole model.

use super::layer::{LoraLayer, initial_magnitude};
use super::peft_config::{InitLoraWeights, ModuleNames as Targets, PeftConfig};
use crate::backend::{Distribution, RandomKey};
use crate::models::Model;
use crate::nn::{Linear, ModuleNames, ModuleRef, Modules, Param, Parameter};
use crate::random::Rng;
use crate::{DType, Error, ErrorKind, Result, Tensor};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The adapters of one name beside a model's linear layers, and what is trained along with them.
#[derive(Debug)]
pub struct LoraAdapter {
    pub(super) name: String,
    pub(super) config: PeftConfig,
    pub(super) layers: Vec<(Arc<Linear>, Arc<LoraLayer>)>,
    /// Parameters of the base that are trained and saved in full: `modules_to_save` and biases; with their value before.
    pub(super) full: Vec<(Param, Tensor)>,
    pub(super) names: ModuleNames,
    modules: Arc<Modules>,
    /// Parameters of the base that the adapter's file replaces without training them; with their value before.
    pub(super) replaced: Mutex<Vec<(Param, Tensor)>>,
    /// Layers that got a weight of their own, and the one they shared.
    untied: Mutex<Vec<(Arc<Linear>, Param)>>,
}

impl LoraAdapter {
    /// Attaches fresh adapters: `A` random, `B` zero, so that nothing changes yet. Every other parameter is frozen.
    ///
    /// Adapters of half-float models are kept in `f32`, as PEFT does. The values depend on `seed` and the layers' names.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the targets match no layer, naming some that there are, for a rank above a layer's size, or a
    /// name that another adapter has; [`ErrorKind::Unsupported`] if they match an embedding or a convolution; those of
    /// [`PeftConfig::validate`].
    pub fn inject(model: &dyn Model, name: &str, config: PeftConfig, seed: u64) -> Result<Self> {
        Self::inject_where(model, name, config, seed, |_| true)
    }

    /// As [`LoraAdapter::inject`], beside those of the targets alone for whose path in the model (not PEFT's) `allowed` is
    /// true: some parts of a model, say. The settings then name each layer, so that PEFT adapts the same ones.
    ///
    /// # Errors
    /// As there.
    pub fn inject_where(
        model: &dyn Model,
        name: &str,
        config: PeftConfig,
        seed: u64,
        allowed: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        config.validate()?;
        let (matcher, names) = (config.matcher()?, model.module_names());
        for linear in model.modules().linears().iter().filter(|l| allowed(l.path())) {
            let (n, k) = (linear.out_features(), linear.in_features());
            let adapted = matcher.matches(&names.to_peft(linear.path()), true, is_head(linear));
            if let Some(r) = adapted.map(|a| a.r).filter(|r| *r > n.min(k)) {
                let message = format!("rank {r} is more than the layer's {k} inputs or {n} outputs");
                return Err(Error::new(ErrorKind::Config, "lora", message)
                    .at(linear.path())
                    .hint("a lower rank does the same with fewer numbers; rank_pattern sets it for some layers"));
            }
        }
        Self::attach(model, name, config, seed, allowed)
    }

    /// As [`LoraAdapter::inject_where`], for any rank: PEFT allows more than a layer has use for, and files have it.
    pub(super) fn attach(
        model: &dyn Model,
        name: &str,
        mut config: PeftConfig,
        seed: u64,
        allowed: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        config.validate()?;
        let (modules, names, matcher) = (model.modules(), model.module_names(), config.matcher()?);
        let linears = modules.linears();
        if linears.iter().any(|l| l.adapters().iter().any(|a| a.name() == name)) {
            let message = format!("an adapter called {name:?} is attached already");
            return Err(Error::new(ErrorKind::Config, "lora", message).hint("remove it first, or give another name"));
        }
        modules.set_trainable(|_| false)?;
        let (mut layers, mut left_out) = (Vec::new(), false);
        for linear in &linears {
            let path = names.to_peft(linear.path());
            let Some(adapted) = matcher.matches(&path, true, is_head(linear)) else { continue };
            if !allowed(linear.path()) {
                left_out = true;
                continue;
            }
            layers.push((
                linear.clone(),
                Arc::new(new_layer(linear, name, &config, adapted.r, config.scale(adapted), seed)?),
            ));
        }
        if layers.is_empty() {
            let some: Vec<String> = linears.iter().take(6).map(|l| names.to_peft(l.path())).collect();
            let message = match left_out {
                true => format!("target_modules {:?} match layers of frozen parts only", config.target_modules),
                false => format!("target_modules {:?} match no linear layer", config.target_modules),
            };
            return Err(
                Error::new(ErrorKind::Config, "lora", message).hint(format!("layers are called {} …", some.join(", ")))
            );
        }
        if left_out {
            let paths = layers.iter().map(|(l, _): &(Arc<Linear>, _)| names.to_peft(l.path())).collect();
            config.target_modules = Targets::Names(paths);
            config.exclude_modules = None;
            (config.layers_to_transform, config.layers_pattern) = (None, Vec::new());
        }
        let matched = |path: &str| matcher.names_modules() && matcher.matches(path, true, false).is_some();
        for (path, module) in modules.modules() {
            let ModuleRef::Other(kind) = module else { continue };
            let allowed = allowed(&path);
            let path = names.to_peft(&path);
            if allowed && matched(&path) {
                let message = format!("target_modules {:?} match {path}, which is {kind}", config.target_modules);
                return Err(Error::new(ErrorKind::Unsupported, "lora", message)
                    .hint("only linear layers can be adapted; write more of the names, as \"attn.proj\""));
            }
        }
        // PyTorch's attention reads its output matrix past any adapter, so it has none here; PEFT is told to leave it out.
        let mut config = config;
        for (path, module) in modules.modules() {
            let out = format!("{}.out_proj", names.to_peft(&path));
            if matches!(module, ModuleRef::Other("attention")) && matcher.matches(&out, true, false).is_some() {
                config.exclude(&out);
            }
        }
        // A module that is trained in full shares its weight with nobody: neither with one that is frozen nor with another
        // that is trained.
        let mut untied = Vec::new();
        for linear in linears.iter().filter(|l| l.shares_weight()) {
            let shared = linear.weight();
            let owner = shared.name().rsplit_once('.').map_or("", |(owner, _)| owner);
            let saved = |path: &str| matcher.is_saved_in_full(&names.to_peft(path));
            if saved(linear.path()) || saved(owner) {
                untied.push(untie(modules, linear)?);
            }
        }
        let mut full = Vec::new();
        for param in modules.parameters() {
            let Some((owner, leaf)) = param.name().rsplit_once('.') else { continue };
            let is_adapted = layers.iter().any(|(l, _)| l.path() == owner);
            let trained =
                matcher.is_saved_in_full(&names.to_peft(owner)) || (leaf == "bias" && matcher.trains_bias(is_adapted));
            if trained {
                full.push((param.clone(), param.tensor()?.detach()));
            }
        }
        for (linear, layer) in &layers {
            for param in layer.parameters() {
                modules.add_parameter(param.clone())?;
            }
            linear.attach(layer.clone());
        }
        let adapter = LoraAdapter {
            name: name.to_owned(),
            config,
            layers,
            full,
            names,
            modules: modules.clone(),
            replaced: Mutex::default(),
            untied: Mutex::new(untied),
        };
        adapter.set_trainable(true)?;
        Ok(adapter)
    }

    /// The name it was attached under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its settings.
    pub fn config(&self) -> &PeftConfig {
        &self.config
    }

    /// The parameters that it trains.
    pub fn parameters(&self) -> Vec<Param> {
        let own = self.layers.iter().flat_map(|(_, layer)| layer.parameters().cloned());
        own.chain(self.full.iter().map(|(p, _)| p.clone())).collect()
    }

    /// Trains or freezes its parameters.
    ///
    /// # Errors
    /// Those of [`Parameter::set_trainable`].
    pub fn set_trainable(&self, trainable: bool) -> Result<()> {
        self.parameters().iter().try_for_each(|p| p.set_trainable(trainable))
    }

    /// Switches dropout on for training and off otherwise.
    pub fn set_training(&self, training: bool) {
        self.layers.iter().for_each(|(_, layer)| layer.training.store(training, Ordering::Relaxed));
    }

    /// Puts the change into the layers' weights, so that inference costs nothing extra. The weights before are kept.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it is merged already; those of the device, after which nothing is merged.
    pub fn merge(&self) -> Result<()> {
        if self.layers.iter().any(|(_, layer)| layer.is_merged()) {
            return Err(Error::new(
                ErrorKind::Config,
                "lora merge",
                format!("adapter {:?} is merged already", self.name),
            ));
        }
        let merged: Vec<(Tensor, Tensor)> = self
            .layers
            .iter()
            .map(|(linear, layer)| {
                let base = linear.weight().tensor()?.detach();
                Ok((layer.merged_weight(&base).map_err(|e| e.at(linear.path()))?, base))
            })
            .collect::<Result<_>>()?;
        for ((linear, layer), (new, base)) in self.layers.iter().zip(merged) {
            // What another module sees of the weight stays as it is.
            if linear.shares_weight() {
                held(&self.untied).push(untie(&self.modules, linear)?);
            }
            linear.weight().set(&new)?;
            *layer.merged.lock().unwrap_or_else(PoisonError::into_inner) = Some(base);
        }
        Ok(())
    }

    /// Takes the change out of the layers' weights: they are bit for bit what they were.
    ///
    /// # Errors
    /// Those of [`Parameter::set`].
    pub fn unmerge(&self) -> Result<()> {
        for (linear, layer) in &self.layers {
            if let Some(base) = layer.merged.lock().unwrap_or_else(PoisonError::into_inner).take() {
                linear.weight().set(&base)?;
            }
        }
        let mut untied = held(&self.untied);
        let ours = |linear: &Linear| self.full.iter().any(|(p, _)| p.name() == linear.weight().name());
        let (kept, again): (Vec<_>, Vec<_>) = untied
            .drain(..)
            .partition(|(linear, shared)| ours(linear) || self.full.iter().any(|(p, _)| p.name() == shared.name()));
        *untied = kept;
        again.into_iter().try_for_each(|(linear, shared)| tie(&self.modules, &linear, shared))
    }

    /// Removes the adapter: the model is bit for bit what it was before it was attached.
    ///
    /// # Errors
    /// Those of [`LoraAdapter::unmerge`].
    pub fn remove(self) -> Result<()> {
        self.unmerge()?;
        for (linear, layer) in &self.layers {
            linear.detach(&self.name);
            for param in layer.parameters() {
                self.modules.remove_parameter(param.name());
            }
        }
        self.full.iter().try_for_each(|(param, before)| {
            param.set_trainable(false)?;
            param.set(before)
        })?;
        held(&self.replaced).drain(..).try_for_each(|(param, before)| param.set(&before))?;
        held(&self.untied).drain(..).try_for_each(|(linear, shared)| tie(&self.modules, &linear, shared))
    }

    /// The parameter of the base that PEFT's file calls `name`: it keeps embeddings and output layers beside their adapters.
    pub(super) fn base_parameter(&self, name: &str) -> Option<Param> {
        let path = name.strip_suffix(".weight")?;
        let path = self.names.from_peft(path.strip_suffix(".base_layer").unwrap_or(path));
        let is_vocabulary = ["embed_tokens", "lm_head"].contains(&path.rsplit('.').next()?);
        let linear = || self.modules.linears().into_iter().find(|l| l.path() == path).map(|l| l.weight());
        self.modules.parameter(&format!("{path}.weight")).or_else(linear).filter(|_| is_vocabulary)
    }
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives a layer a weight of its own; the layer with the one it shared.
fn untie(modules: &Modules, linear: &Arc<Linear>) -> Result<(Arc<Linear>, Param)> {
    let own = linear.copied_weight()?;
    modules.add_parameter(own.clone())?;
    Ok((linear.clone(), linear.set_weight(own)?))
}

fn tie(modules: &Modules, linear: &Linear, shared: Param) -> Result<()> {
    let own = linear.set_weight(shared)?;
    modules.remove_parameter(own.name());
    Ok(())
}

/// Whether the layer turns hidden states into logits.
pub(super) fn is_head(linear: &Linear) -> bool {
    linear.path().rsplit('.').next() == Some("lm_head")
}

fn new_layer(linear: &Linear, name: &str, config: &PeftConfig, r: usize, scale: f64, seed: u64) -> Result<LoraLayer> {
    let (n, k) = (linear.out_features(), linear.in_features());
    let weight = linear.weight().tensor()?;
    let dtype = if weight.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let from = match config.init_lora_weights {
        InitLoraWeights::Gaussian => Distribution::Normal { mean: 0.0, std: 1.0 / r as f64 },
        // PyTorch's default for linear layers: Kaiming uniform with a = sqrt(5).
        _ => Distribution::Uniform { low: -1.0 / (k as f64).sqrt(), high: 1.0 / (k as f64).sqrt() },
    };
    let stream =
        linear.path().bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let draw = |stream: u64, shape: [usize; 2]| {
        Tensor::random(shape, from, RandomKey { seed, stream }, dtype, weight.device())
    };
    let param = |part: &str, value: &Tensor| Arc::new(Parameter::new(format!("{}.{part}", linear.path()), value));
    let a = draw(stream, [r, k])?;
    let b = match config.init_lora_weights {
        // PEFT's `init_lora_weights=False`: both random, so that the adapter changes something at once.
        InitLoraWeights::Random => draw(Rng::new(RandomKey { seed, stream }).next_u64(), [n, r])?,
        _ => Tensor::zeros([n, r], dtype, weight.device())?,
    };
    let magnitude = config.use_dora.then(|| initial_magnitude(&weight)).transpose()?;
    Ok(LoraLayer {
        adapter: name.to_owned(),
        a: param(&format!("lora_A.{name}.weight"), &a),
        b: param(&format!("lora_B.{name}.weight"), &b),
        magnitude: magnitude.map(|m| param(&format!("lora_magnitude_vector.{name}.weight"), &m)),
        scale,
        dropout: config.lora_dropout,
        training: AtomicBool::new(false),
        merged: Mutex::new(None),
    })
}
