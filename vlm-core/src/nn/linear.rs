//! The linear layer.

use super::{Builder, Init, ModuleRef, Param, Parameter};
use crate::{Error, ErrorKind, Result, Shape, Tensor};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// Something that changes what a linear layer computes, such as a LoRA adapter.
pub trait LinearAdapter: Send + Sync + fmt::Debug {
    /// The name it is attached and removed by.
    fn name(&self) -> &str;

    /// The layer's result with this adapter: `x` is the input `[..., k]`, `y` the result so far `[..., n]`.
    ///
    /// # Errors
    /// Those of its operations.
    fn apply(&self, layer: &Linear, x: &Tensor, y: Tensor) -> Result<Tensor>;
}

/// `y = x w^T + b` for `w [out_features, in_features]`.
pub struct Linear {
    path: String,
    weight: RwLock<Param>,
    shape: Shape,
    bias: Option<Param>,
    adapters: RwLock<Vec<Arc<dyn LinearAdapter>>>,
}

impl Linear {
    /// Builds the layer at the builder's path (`weight`, `bias`), initialised as Hugging Face models are: normal with
    /// standard deviation `std`, bias 0.
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(b: &Builder, in_features: usize, out_features: usize, bias: bool, std: f64) -> Result<Arc<Self>> {
        let weight = b.parameter("weight", [out_features, in_features], Init::Normal { std })?;
        let bias = bias.then(|| b.parameter("bias", [out_features], Init::Constant(0.0))).transpose()?;
        Ok(Self::from_parts(b, weight, bias))
    }

    /// A layer at the builder's path with these parameters, which another module may share (tied weights).
    pub fn from_parts(b: &Builder, weight: Param, bias: Option<Param>) -> Arc<Self> {
        let (path, shape) = (b.path().to_owned(), *weight.shape());
        let layer = Arc::new(Linear { path, weight: RwLock::new(weight), shape, bias, adapters: RwLock::default() });
        b.register(ModuleRef::Linear(layer.clone()));
        layer
    }

    /// The dotted path of the layer.
    pub fn path(&self) -> &str {
        &self.path
    }
    /// The weight, `[out_features, in_features]`.
    pub fn weight(&self) -> Param {
        self.weight.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// Whether the weight is another module's too (an output layer tied to the embedding).
    pub fn shares_weight(&self) -> bool {
        self.weight().name().strip_suffix(".weight") != Some(&*self.path)
    }
    /// Takes another parameter as the weight and returns the one before: how a tied layer gets a weight of its own.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if its shape differs.
    pub fn set_weight(&self, weight: Param) -> Result<Param> {
        if *weight.shape() != self.shape {
            let message = format!("expected shape {}, found {}", self.shape, weight.shape());
            return Err(Error::new(ErrorKind::Shape, "set weight", message).at(&self.path));
        }
        Ok(std::mem::replace(&mut *self.weight.write().unwrap_or_else(PoisonError::into_inner), weight))
    }
    /// A parameter with the weight's value and this layer's own name.
    ///
    /// # Errors
    /// Those of [`Parameter::tensor`].
    pub fn copied_weight(&self) -> Result<Param> {
        Ok(Arc::new(Parameter::new(format!("{}.weight", self.path), &self.weight().tensor()?)))
    }
    /// The bias, `[out_features]`.
    pub fn bias(&self) -> Option<&Param> {
        self.bias.as_ref()
    }
    /// Size of the input.
    pub fn in_features(&self) -> usize {
        self.shape[1]
    }
    /// Size of the result.
    pub fn out_features(&self) -> usize {
        self.shape[0]
    }

    /// `x [..., in_features] -> [..., out_features]`, with all attached adapters in order of attachment.
    ///
    /// # Errors
    /// Those of [`Tensor::linear`], with this layer's path.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.run(x).map_err(|e| e.at(&self.path))
    }

    fn run(&self, x: &Tensor) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(|b| b.tensor()).transpose()?;
        let mut y = x.linear(&self.weight().tensor()?, bias.as_ref())?;
        let adapters = self.adapters.read().unwrap_or_else(PoisonError::into_inner);
        for adapter in adapters.iter() {
            y = adapter.apply(self, x, y)?;
        }
        Ok(y)
    }

    /// Attaches an adapter; one of the same name is replaced and returned.
    pub fn attach(&self, adapter: Arc<dyn LinearAdapter>) -> Option<Arc<dyn LinearAdapter>> {
        let mut adapters = self.adapters.write().unwrap_or_else(PoisonError::into_inner);
        match adapters.iter_mut().find(|a| a.name() == adapter.name()) {
            Some(place) => Some(std::mem::replace(place, adapter)),
            None => {
                adapters.push(adapter);
                None
            }
        }
    }

    /// Removes the adapter called `name` and returns it.
    pub fn detach(&self, name: &str) -> Option<Arc<dyn LinearAdapter>> {
        let mut adapters = self.adapters.write().unwrap_or_else(PoisonError::into_inner);
        let at = adapters.iter().position(|a| a.name() == name)?;
        Some(adapters.remove(at))
    }

    /// The attached adapters.
    pub fn adapters(&self) -> Vec<Arc<dyn LinearAdapter>> {
        self.adapters.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Linear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Linear({}, {} -> {})", self.path, self.in_features(), self.out_features())
    }
}
