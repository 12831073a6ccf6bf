//! `adapter_config.json` as PEFT reads and writes it, and PEFT's rule for which modules get an adapter.
//!
//! Follows PEFT 0.21 (`peft/tuners/lora/config.py`, `check_target_module_exists` in `peft/tuners/tuners_utils.py`): a file
//! that PEFT wrote comes back byte for byte when it is written again. A setting that this crate does not implement is refused
//! by name, never ignored: an adapter computed without it would be another adapter.

mod matcher;

use crate::weights::atomic::write_atomic;
use crate::weights::mapping::read_small;
use crate::weights::save::quoted;
use crate::{Error, ErrorKind, Result};
pub use matcher::{Adapted, TargetMatcher};
use serde_json::{Map, Value, json};
use std::path::Path;

const OP: &str = "adapter config";
const MAX_FILE: u64 = 16 << 20;
/// The highest rank accepted: beyond any layer's width, so only a mistake asks for it.
pub const MAX_RANK: usize = 65_536;
/// The most names or patterns in one setting.
const MAX_LIST: usize = 100_000;

/// Which modules a setting names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleNames {
    /// Every linear module but the output head: `"all-linear"`.
    AllLinear,
    /// Whole names or ends of names after a dot: `["q_proj", "attn.proj"]`.
    Names(Vec<String>),
    /// A regular expression that must match the whole name.
    Regex(String),
}

/// Which biases are trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bias {
    /// None.
    #[default]
    None,
    /// All of the model.
    All,
    /// Those of modules with an adapter.
    LoraOnly,
}

/// How a new adapter starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InitLoraWeights {
    /// A uniform as PyTorch's linear layer (Kaiming, a = √5), B zero: the adapter changes nothing at first.
    #[default]
    Default,
    /// A normal with deviation 1/r, B zero.
    Gaussian,
    /// A and B random: for tests, the adapter changes something at once.
    Random,
}

/// The settings of a LoRA adapter, with PEFT's names and defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct PeftConfig {
    /// Rank, 1 to [`MAX_RANK`].
    pub r: usize,
    /// The adapter's output is multiplied by `lora_alpha / r` (rsLoRA: `lora_alpha / sqrt(r)`).
    pub lora_alpha: f64,
    /// Probability of dropping an input element of the adapter in training, 0 up to but not including 1.
    pub lora_dropout: f64,
    /// Which modules get an adapter.
    pub target_modules: ModuleNames,
    /// Which do not, though targeted.
    pub exclude_modules: Option<ModuleNames>,
    /// Which biases are trained and saved.
    pub bias: Bias,
    /// Modules that are trained and saved in full.
    pub modules_to_save: Vec<String>,
    /// Scale by `1 / sqrt(r)` instead of `1 / r` (Kalajdzievski 2023).
    pub use_rslora: bool,
    /// Train magnitude and direction apart (DoRA, Liu et al. 2024).
    pub use_dora: bool,
    /// Ranks of modules whose name's end matches a pattern; the first match counts.
    pub rank_pattern: Vec<(String, usize)>,
    /// Alphas, likewise.
    pub alpha_pattern: Vec<(String, f64)>,
    /// Only these layers, if given.
    pub layers_to_transform: Option<Vec<usize>>,
    /// Names of the lists that layers are in (`"layers"`); any list if empty.
    pub layers_pattern: Vec<String>,
    /// How a new adapter starts; without meaning for a saved one.
    pub init_lora_weights: InitLoraWeights,
    /// Whether the adapter is loaded frozen.
    pub inference_mode: bool,
    /// The model it belongs to.
    pub base_model_name_or_path: Option<String>,
    /// Revision of that model.
    pub revision: Option<String>,
    /// PEFT's task type (`"CAUSAL_LM"`), kept as it is.
    pub task_type: Option<String>,
    /// The model's Python class, kept as it is.
    pub auto_mapping: Option<Value>,
    /// Whether alpha and dropout were whole numbers in the file: kept so that the file comes back the same.
    whole: [bool; 2],
}

impl PeftConfig {
    /// PEFT's defaults with this rank, alpha and targets.
    pub fn new(r: usize, lora_alpha: f64, target_modules: ModuleNames) -> Self {
        PeftConfig {
            r,
            lora_alpha,
            lora_dropout: 0.0,
            target_modules,
            exclude_modules: None,
            bias: Bias::None,
            modules_to_save: Vec::new(),
            use_rslora: false,
            use_dora: false,
            rank_pattern: Vec::new(),
            alpha_pattern: Vec::new(),
            layers_to_transform: None,
            layers_pattern: Vec::new(),
            init_lora_weights: InitLoraWeights::Default,
            inference_mode: false,
            base_model_name_or_path: None,
            revision: None,
            task_type: None,
            auto_mapping: None,
            whole: [true, false],
        }
    }

    /// Reads `adapter_config.json`; `path` is the file or the adapter's folder.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be read, else as [`PeftConfig::parse`].
    pub fn load(path: &Path) -> Result<Self> {
        let path = if path.is_dir() { path.join("adapter_config.json") } else { path.to_path_buf() };
        Self::parse(&read_small(OP, &path, MAX_FILE)?).map_err(|e| e.with("file", path.display()))
    }

    /// Reads the text of an `adapter_config.json`.
    ///
    /// # Errors
    /// - [`ErrorKind::Format`] if it is no JSON object.
    /// - [`ErrorKind::Config`] for a value out of range, of the wrong type, or that contradicts another, naming the key.
    /// - [`ErrorKind::Unsupported`] for another method than LoRA or a setting not implemented, naming the key.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let fail = |e| Error::new(ErrorKind::Format, OP, format!("not a JSON object: {e}")).with_source(e);
        let mut fields = Fields(serde_json::from_slice::<Map<String, Value>>(text).map_err(fail)?);
        match fields.string("peft_type")? {
            Some(method) if method == "LORA" => {}
            found => {
                let found = found.map_or_else(|| "missing".to_owned(), |m| quoted(&m));
                let error = Error::new(ErrorKind::Unsupported, OP, format!("peft_type is {found}, expected \"LORA\""));
                return Err(error.hint("only LoRA adapters (with rsLoRA and DoRA) can be used"));
            }
        }
        let whole = ["lora_alpha", "lora_dropout"].map(|k| fields.0.get(k).is_some_and(|v| v.is_u64() || v.is_i64()));
        let config = PeftConfig {
            r: fields.count("r")?.unwrap_or(8),
            lora_alpha: fields.number("lora_alpha")?.unwrap_or(8.0),
            lora_dropout: fields.number("lora_dropout")?.unwrap_or(0.0),
            target_modules: fields.modules("target_modules")?.ok_or_else(|| {
                config_error("target_modules is missing").hint("name the modules to adapt, or give \"all-linear\"")
            })?,
            exclude_modules: fields.modules("exclude_modules")?,
            bias: match fields.string("bias")?.as_deref() {
                None | Some("none") => Bias::None,
                Some("all") => Bias::All,
                Some("lora_only") => Bias::LoraOnly,
                Some(other) => {
                    let message = format!("bias is {}, expected \"none\", \"all\" or \"lora_only\"", quoted(other));
                    return Err(config_error(message));
                }
            },
            modules_to_save: fields.strings("modules_to_save")?.unwrap_or_default(),
            use_rslora: fields.flag("use_rslora")?.unwrap_or(false),
            use_dora: fields.flag("use_dora")?.unwrap_or(false),
            rank_pattern: fields.pattern("rank_pattern", |v| v.as_u64().and_then(|r| usize::try_from(r).ok()))?,
            alpha_pattern: fields.pattern("alpha_pattern", Value::as_f64)?,
            layers_to_transform: fields.layers("layers_to_transform")?,
            layers_pattern: fields.strings("layers_pattern")?.unwrap_or_default(),
            init_lora_weights: match fields.0.shift_remove("init_lora_weights") {
                None | Some(Value::Null | Value::Bool(true)) => InitLoraWeights::Default,
                Some(Value::Bool(false)) => InitLoraWeights::Random,
                Some(Value::String(s)) if s == "gaussian" => InitLoraWeights::Gaussian,
                Some(other) => {
                    let error = unsupported("init_lora_weights", &other);
                    return Err(error.hint(
                        "use true, false or \"gaussian\"; PiSSA and OLoRA adapters can be saved \
                                           as plain LoRA by PEFT (path_initial_model_for_weight_conversion)",
                    ));
                }
            },
            inference_mode: fields.flag("inference_mode")?.unwrap_or(false),
            base_model_name_or_path: fields.string("base_model_name_or_path")?,
            revision: fields.string("revision")?,
            task_type: fields.string("task_type")?,
            auto_mapping: fields.0.shift_remove("auto_mapping").filter(|v| !v.is_null()),
            whole,
        };
        // These say nothing about what an adapter computes.
        for key in ["peft_version", "megatron_core", "qalora_group_size", "runtime_config"] {
            fields.0.shift_remove(key);
        }
        // Everything else is a setting of a method that is not implemented, off unless it has a value.
        for (key, value) in &fields.0 {
            let off = match value {
                Value::Null | Value::Bool(false) => true,
                Value::Array(a) => a.is_empty(),
                Value::Object(o) => o.is_empty(),
                Value::String(s) => s.is_empty(),
                Value::Bool(true) | Value::Number(_) => false,
            };
            if !off {
                return Err(unsupported(key, value));
            }
        }
        config.validate()?;
        Ok(config)
    }

    /// Checks ranges and that settings do not contradict each other.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the key, the value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        let ranks = self.rank_pattern.iter().map(|(k, r)| (format!("rank_pattern[{}]", quoted(k)), *r));
        for (key, r) in std::iter::once(("r".to_owned(), self.r)).chain(ranks) {
            if !(1..=MAX_RANK).contains(&r) {
                return Err(config_error(format!("{key} is {r}, expected 1 to {MAX_RANK}")));
            }
        }
        let alphas = self.alpha_pattern.iter().map(|(k, a)| (format!("alpha_pattern[{}]", quoted(k)), *a));
        for (key, alpha) in std::iter::once(("lora_alpha".to_owned(), self.lora_alpha)).chain(alphas) {
            if !(alpha.is_finite() && alpha > 0.0) {
                let error = config_error(format!("{key} is {alpha}, expected a number above 0"));
                return Err(error.hint("with alpha 0 the adapter changes nothing and cannot learn"));
            }
        }
        if !(0.0..1.0).contains(&self.lora_dropout) {
            let message = format!("lora_dropout is {}, expected 0 up to (not including) 1", self.lora_dropout);
            return Err(config_error(message));
        }
        if let ModuleNames::Names(names) = &self.target_modules
            && (names.is_empty() || names.iter().any(String::is_empty))
        {
            return Err(config_error("target_modules is an empty list or has an empty name"));
        }
        let listed = matches!(self.target_modules, ModuleNames::Names(_));
        if !listed && (self.layers_to_transform.is_some() || !self.layers_pattern.is_empty()) {
            let error = config_error("layers_to_transform and layers_pattern need target_modules to be a list");
            return Err(error.hint("a regular expression can name the layers itself"));
        }
        if !self.layers_pattern.is_empty() && self.layers_to_transform.is_none() {
            return Err(config_error("layers_pattern is given without layers_to_transform"));
        }
        TargetMatcher::new(self).map(drop)
    }

    /// The rule that says which modules get an adapter, compiled for many questions.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming a regular expression that is none.
    pub fn matcher(&self) -> Result<TargetMatcher> {
        TargetMatcher::new(self)
    }

    /// Rank and alpha of the adapter of the module called `name`, or `None` if it gets none. See [`TargetMatcher::matches`].
    ///
    /// # Errors
    /// As [`matcher`](Self::matcher); use that for more than a few modules.
    pub fn matches(&self, name: &str, is_linear: bool, is_output_head: bool) -> Result<Option<Adapted>> {
        Ok(self.matcher()?.matches(name, is_linear, is_output_head))
    }

    /// By what the adapter's output is multiplied, for a module of this rank and alpha.
    pub fn scale(&self, adapted: Adapted) -> f64 {
        let r = adapted.r as f64;
        adapted.alpha / if self.use_rslora { r.sqrt() } else { r }
    }

    /// Leaves one more module out, by its whole name.
    pub(super) fn exclude(&mut self, name: &str) {
        self.exclude_modules = Some(match self.exclude_modules.take() {
            None | Some(ModuleNames::AllLinear) => ModuleNames::Names(vec![name.to_owned()]),
            Some(ModuleNames::Names(mut names)) => {
                names.push(name.to_owned());
                ModuleNames::Names(names)
            }
            Some(ModuleNames::Regex(regex)) => ModuleNames::Regex(format!("(?:{regex})|{}", name.replace('.', r"\."))),
        });
    }

    /// The text of `adapter_config.json` as PEFT 0.21 writes it: every key, sorted, two spaces of indent.
    pub fn to_json(&self) -> String {
        let number =
            |x: f64, whole: bool| if whole && x.fract() == 0.0 && x.abs() < 1e15 { json!(x as i64) } else { json!(x) };
        let names = |m: &ModuleNames| match m {
            ModuleNames::AllLinear => json!("all-linear"),
            ModuleNames::Names(names) => json!(names),
            ModuleNames::Regex(regex) => json!(regex),
        };
        let list = |l: &Vec<String>| if l.is_empty() { Value::Null } else { json!(l) };
        let ranks: Map<_, _> = self.rank_pattern.iter().map(|(k, r)| (k.clone(), json!(r))).collect();
        let alphas: Map<_, _> = self.alpha_pattern.iter().map(|(k, a)| (k.clone(), number(*a, true))).collect();
        let pattern = match &self.layers_pattern[..] {
            [one] => json!(one),
            _ => list(&self.layers_pattern),
        };
        let bias = match self.bias {
            Bias::None => "none",
            Bias::All => "all",
            Bias::LoraOnly => "lora_only",
        };
        let init = match self.init_lora_weights {
            InitLoraWeights::Default => json!(true),
            InitLoraWeights::Random => json!(false),
            InitLoraWeights::Gaussian => json!("gaussian"),
        };
        let mut all = json!({
            "alora_invocation_tokens": null, "arrow_config": null, "corda_config": null, "ensure_weight_tying": false,
            "eva_config": null, "fan_in_fan_out": false, "kasa_config": null, "layer_replication": null,
            "loftq_config": {}, "lora_bias": false, "lora_ga_config": null, "megatron_config": null,
            "megatron_core": "megatron.core", "monteclora_config": null, "peft_type": "LORA", "peft_version": "0.21.2",
            "qalora_group_size": 16, "target_parameters": null, "trainable_token_indices": null, "use_bdlora": null,
            "use_qalora": false, "velora_config": null,
        });
        let ours = json!({
            "alpha_pattern": alphas,
            "auto_mapping": self.auto_mapping,
            "base_model_name_or_path": self.base_model_name_or_path,
            "bias": bias,
            "exclude_modules": self.exclude_modules.as_ref().map(names),
            "inference_mode": self.inference_mode,
            "init_lora_weights": init,
            "layers_pattern": pattern,
            "layers_to_transform": self.layers_to_transform,
            "lora_alpha": number(self.lora_alpha, self.whole[0]),
            "lora_dropout": number(self.lora_dropout, self.whole[1]),
            "modules_to_save": list(&self.modules_to_save),
            "r": self.r,
            "rank_pattern": ranks,
            "revision": self.revision,
            "target_modules": names(&self.target_modules),
            "task_type": self.task_type,
            "use_dora": self.use_dora,
            "use_rslora": self.use_rslora,
        });
        if let (Value::Object(all), Value::Object(ours)) = (&mut all, ours) {
            all.extend(ours);
            all.sort_keys();
        }
        format!("{all:#}")
    }

    /// Writes `adapter_config.json` into the folder `dir`, atomically.
    ///
    /// # Errors
    /// As [`validate`](Self::validate), and [`ErrorKind::Io`] naming the path.
    pub fn save(&self, dir: &Path) -> Result<()> {
        self.validate()?;
        write_atomic(OP, &dir.join("adapter_config.json"), self.to_json().as_bytes())
    }
}

fn config_error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, OP, message)
}

fn unsupported(key: &str, value: &Value) -> Error {
    let message = format!("{} is {}, which is not supported", quoted(key), quoted(&value.to_string()));
    Error::new(ErrorKind::Unsupported, OP, message)
}

/// The keys not yet taken.
struct Fields(Map<String, Value>);

impl Fields {
    /// Takes a key's value through `read`; absent and null are `None`.
    fn take<T>(&mut self, key: &str, expected: &str, read: impl FnOnce(&Value) -> Option<T>) -> Result<Option<T>> {
        match self.0.shift_remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(&value)
                .map(Some)
                .ok_or_else(|| config_error(format!("{key} is {}, expected {expected}", quoted(&value.to_string())))),
        }
    }

    fn string(&mut self, key: &str) -> Result<Option<String>> {
        self.take(key, "a string", |v| v.as_str().map(str::to_owned))
    }

    fn flag(&mut self, key: &str) -> Result<Option<bool>> {
        self.take(key, "true or false", Value::as_bool)
    }

    fn count(&mut self, key: &str) -> Result<Option<usize>> {
        let expected = format!("a whole number from 1 to {MAX_RANK}");
        self.take(key, &expected, |v| v.as_u64().and_then(|n| usize::try_from(n).ok()))
    }

    fn number(&mut self, key: &str) -> Result<Option<f64>> {
        self.take(key, "a number", Value::as_f64)
    }

    fn strings(&mut self, key: &str) -> Result<Option<Vec<String>>> {
        self.take(key, "a string or a list of strings", |v| match v {
            Value::String(one) => Some(vec![one.clone()]),
            other => strings(other),
        })
    }

    fn modules(&mut self, key: &str) -> Result<Option<ModuleNames>> {
        self.take(key, "a string or a list of strings", |v| match v {
            Value::String(s) if s.eq_ignore_ascii_case("all-linear") => Some(ModuleNames::AllLinear),
            Value::String(s) => Some(ModuleNames::Regex(s.clone())),
            other => strings(other).map(ModuleNames::Names),
        })
    }

    fn layers(&mut self, key: &str) -> Result<Option<Vec<usize>>> {
        let index = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
        let layers = self.take(key, "a layer number or a list of them", |v| match v {
            Value::Array(list) if list.len() <= MAX_LIST => list.iter().map(index).collect(),
            one => index(one).map(|n| vec![n]),
        })?;
        // PEFT takes an empty list for no restriction.
        Ok(layers.filter(|l: &Vec<usize>| !l.is_empty()))
    }

    fn pattern<T>(&mut self, key: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Vec<(String, T)>> {
        let pairs = self.take(key, "an object of names and numbers", |v| {
            let map = v.as_object().filter(|m| m.len() <= MAX_LIST)?;
            map.iter().map(|(k, v)| Some((k.clone(), read(v)?))).collect()
        })?;
        Ok(pairs.unwrap_or_default())
    }
}

fn strings(value: &Value) -> Option<Vec<String>> {
    let list = value.as_array().filter(|l| l.len() <= MAX_LIST)?;
    list.iter().map(|v| v.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests;
