//! Stochastic gradient descent.

use super::{Optimizer, bad_state};
use crate::nn::Param;
use crate::{DType, Result, Tensor};
use std::collections::BTreeMap;

/// Settings of [`Sgd`], with PyTorch's names and defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SgdOptions {
    /// Share of the former step that is kept.
    pub momentum: f64,
    /// Uses the momentum one step ahead (Nesterov).
    pub nesterov: bool,
    /// Added to the gradient: `weight_decay * parameter`.
    pub weight_decay: f64,
}

/// Stochastic gradient descent with momentum, as in PyTorch. State is `f32` whatever the parameter's type.
#[derive(Debug)]
pub struct Sgd {
    options: SgdOptions,
    steps: u64,
    state: BTreeMap<String, Tensor>,
}

impl Sgd {
    /// An optimizer without history.
    pub fn new(options: SgdOptions) -> Self {
        Sgd { options, steps: 0, state: BTreeMap::new() }
    }

    fn direction(&mut self, name: &str, value: &Tensor, grad: &Tensor, grad_scale: f64) -> Result<Tensor> {
        let SgdOptions { momentum, nesterov, weight_decay } = self.options;
        let mut step = (grad.to_dtype(value.dtype())? * grad_scale)?;
        if weight_decay != 0.0 {
            step = (step + (value * weight_decay)?)?;
        }
        if momentum == 0.0 {
            return Ok(step);
        }
        let key = format!("{name}.momentum_buffer");
        let buffer = match self.state.get(&key) {
            Some(before) => ((before * momentum)? + &step)?,
            None => step.clone(),
        };
        let direction = if nesterov { (step + (&buffer * momentum)?)? } else { buffer.clone() };
        self.state.insert(key, buffer);
        Ok(direction)
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, params: &[Param], grads: &[Option<Tensor>], lr: f64, grad_scale: f64) -> Result<()> {
        crate::autograd::no_grad(|| {
            for (param, grad) in params.iter().zip(grads) {
                let Some(grad) = grad else { continue };
                let stored = param.tensor()?.detach();
                let half = matches!(stored.dtype(), DType::F16 | DType::BF16);
                let key = format!("{}.master", param.name());
                let value = match self.state.get(&key) {
                    Some(master) => master.clone(),
                    None if half => stored.to_dtype(DType::F32)?,
                    None => stored.clone(),
                };
                let direction = self.direction(param.name(), &value, grad, grad_scale)?;
                let new = (value - (direction * lr)?)?;
                param.set(&new.to_dtype(stored.dtype())?)?;
                if half {
                    self.state.insert(key, new);
                }
            }
            self.steps += 1;
            Ok(())
        })
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        Ok(self.state.clone())
    }

    fn load_state(&mut self, params: &[Param], steps: u64, state: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, tensor) in state {
            let owner = name.rsplit_once('.').map_or(name.as_str(), |(owner, _)| owner);
            let Some(param) = params.iter().find(|p| p.name() == owner) else {
                return Err(bad_state(format!("there is no trained parameter for {name}")));
            };
            if tensor.shape() != param.shape() {
                return Err(bad_state(format!("{name} is {tensor:?}, expected {}", param.shape())));
            }
        }
        self.state = state.clone();
        self.steps = steps;
        Ok(())
    }
}
