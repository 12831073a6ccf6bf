//! Building models by name.

use super::{Linear, Param, Parameter};
use crate::backend::{Distribution, RandomKey};
use crate::{DType, Device, Error, ErrorKind, IntoShape, Result, Shape, Tensor};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// How a parameter starts when it is not loaded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All the same value: 0 for biases, 1 for norms.
    Constant(f64),
    /// Normal with mean 0.
    Normal {
        /// The standard deviation.
        std: f64,
    },
    /// Uniform in `-bound .. bound`.
    Uniform {
        /// The bound.
        bound: f64,
    },
}

/// Where parameters come from.
pub trait ParameterSource: Send + Sync {
    /// The tensor called `name`, of this shape and type on this device. `init` is how it would start from nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] naming the tensor if it is missing or has another shape.
    fn get(&self, name: &str, shape: &Shape, init: Init, dtype: DType, device: &Device) -> Result<Tensor>;

    /// Whether there is a tensor called `name`: for parts that some files have and others do not. A source that makes
    /// values has none.
    fn contains(&self, name: &str) -> bool;
}

/// Starts parameters from random numbers. A parameter's value depends on the seed and its name alone.
#[derive(Clone, Copy, Debug)]
pub struct Initializer {
    /// The seed.
    pub seed: u64,
}

impl ParameterSource for Initializer {
    fn get(&self, name: &str, shape: &Shape, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let from = match init {
            Init::Constant(value) => return Tensor::full(shape, value, dtype, device),
            Init::Normal { std } => Distribution::Normal { mean: 0.0, std },
            Init::Uniform { bound } => Distribution::Uniform { low: -bound, high: bound },
        };
        // FNV-1a of the name: any stable hash will do.
        let stream =
            name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        Tensor::random(shape, from, RandomKey { seed: self.seed, stream }, dtype, device)
    }

    fn contains(&self, _name: &str) -> bool {
        false
    }
}

/// A module that others find by name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ModuleRef {
    /// A linear layer.
    Linear(Arc<Linear>),
    /// Anything else that owns parameters, by its kind: `"embedding"`, `"layer_norm"`.
    Other(&'static str),
}

/// All parameters and named modules of a model, in the order in which they were built.
#[derive(Default)]
pub struct Modules {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    parameters: Vec<Param>,
    by_name: BTreeMap<String, Param>,
    modules: Vec<(String, ModuleRef)>,
}

impl Modules {
    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Every parameter, each once.
    pub fn parameters(&self) -> Vec<Param> {
        self.with(|s| s.parameters.clone())
    }

    /// The parameters that are trained.
    pub fn trainable(&self) -> Vec<Param> {
        self.parameters().into_iter().filter(|p| p.is_trainable()).collect()
    }

    /// The parameter called `name`.
    pub fn parameter(&self, name: &str) -> Option<Param> {
        self.with(|s| s.by_name.get(name).cloned())
    }

    /// The named modules.
    pub fn modules(&self) -> Vec<(String, ModuleRef)> {
        self.with(|s| s.modules.clone())
    }

    /// The linear layers.
    pub fn linears(&self) -> Vec<Arc<Linear>> {
        let linear = |(_, m): (String, ModuleRef)| if let ModuleRef::Linear(l) = m { Some(l) } else { None };
        self.modules().into_iter().filter_map(linear).collect()
    }

    /// Adds a parameter, for adapters.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if there is one of this name.
    pub fn add_parameter(&self, param: Param) -> Result<()> {
        self.with(|s| {
            if s.by_name.contains_key(param.name()) {
                let message = format!("there is a parameter called {} already", param.name());
                return Err(Error::new(ErrorKind::Config, "add parameter", message));
            }
            s.by_name.insert(param.name().to_owned(), param.clone());
            s.parameters.push(param);
            Ok(())
        })
    }

    /// Takes a parameter out, for adapters.
    pub fn remove_parameter(&self, name: &str) -> Option<Param> {
        self.with(|s| {
            s.parameters.retain(|p| p.name() != name);
            s.by_name.remove(name)
        })
    }

    /// Trains the parameters that `wanted` names and freezes the others.
    ///
    /// # Errors
    /// Those of [`Parameter::set_trainable`].
    pub fn set_trainable(&self, wanted: impl Fn(&str) -> bool) -> Result<()> {
        self.parameters().iter().try_for_each(|p| p.set_trainable(wanted(p.name())))
    }

    /// Number of elements of all parameters.
    pub fn count(&self) -> usize {
        self.parameters().iter().map(|p| p.shape().count()).sum()
    }
}

impl fmt::Debug for Modules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.parameters()).finish()
    }
}

/// Walks the names of a model and takes its parameters from a source. See the [module documentation](super).
#[derive(Clone)]
pub struct Builder {
    source: Arc<dyn ParameterSource>,
    modules: Arc<Modules>,
    path: String,
    dtype: DType,
    device: Device,
}

impl Builder {
    /// A builder at the root of a model.
    pub fn new(source: impl ParameterSource + 'static, dtype: DType, device: &Device) -> Self {
        Builder {
            source: Arc::new(source),
            modules: Arc::default(),
            path: String::new(),
            dtype,
            device: device.clone(),
        }
    }

    /// One step down: `builder.at("layers").at(3)`.
    #[must_use]
    pub fn at(&self, segment: impl fmt::Display) -> Self {
        Builder { path: self.name(segment), ..self.clone() }
    }

    fn name(&self, last: impl fmt::Display) -> String {
        if self.path.is_empty() { last.to_string() } else { format!("{}.{last}", self.path) }
    }

    /// The dotted path so far.
    pub fn path(&self) -> &str {
        &self.path
    }
    /// The element type of parameters.
    pub fn dtype(&self) -> DType {
        self.dtype
    }
    /// The device of parameters.
    pub fn device(&self) -> &Device {
        &self.device
    }
    /// What was built so far, shared with the model.
    pub fn modules(&self) -> &Arc<Modules> {
        &self.modules
    }

    /// Whether the source has a parameter called `name` here.
    pub fn contains(&self, name: &str) -> bool {
        self.source.contains(&self.name(name))
    }

    /// The tensor called `name` here as it is stored, without making it a parameter.
    ///
    /// # Errors
    /// Those of the source.
    pub fn stored(&self, name: &str, shape: impl IntoShape, init: Init) -> Result<Tensor> {
        self.source.get(&self.name(name), &shape.into_shape("build")?, init, self.dtype, &self.device)
    }

    /// The parameter called `name` here. Asking again for one gives the same one: tied weights.
    ///
    /// # Errors
    /// Those of the source; [`ErrorKind::Shape`] if it was built with another shape before.
    pub fn parameter(&self, name: &str, shape: impl IntoShape, init: Init) -> Result<Param> {
        let (name, shape) = (self.name(name), shape.into_shape("build")?);
        if let Some(found) = self.modules.parameter(&name) {
            if *found.shape() == shape {
                return Ok(found);
            }
            let message = format!("the parameter has shape {}, not {shape}", found.shape());
            return Err(Error::new(ErrorKind::Shape, "build", message).at(name));
        }
        let value = self.source.get(&name, &shape, init, self.dtype, &self.device)?;
        let param = Arc::new(Parameter::new(name, &value));
        self.modules.add_parameter(param.clone())?;
        Ok(param)
    }

    /// Registers a module at this path.
    pub fn register(&self, module: ModuleRef) {
        self.modules.with(|s| s.modules.push((self.path.clone(), module)));
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Builder({:?}, {}, {})", self.path, self.dtype, self.device)
    }
}
