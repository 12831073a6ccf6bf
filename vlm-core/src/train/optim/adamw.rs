//! AdamW.

use super::{Optimizer, bad_state};
use crate::backend::{AdamWArgs, StorageRef};
use crate::nn::{Param, Parameter};
use crate::{DType, Error, ErrorKind, Result, Shape, Tensor};
use std::collections::{BTreeMap, BTreeSet};

/// Settings of [`AdamW`], with PyTorch's names and defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamWOptions {
    /// Decay rates of the first and second moment.
    pub betas: (f64, f64),
    /// Added to the denominator.
    pub eps: f64,
    /// Decoupled weight decay, of parameters of rank 2 and more only if `decay_matrices_only`.
    pub weight_decay: f64,
    /// Leaves biases and norms without decay, as Hugging Face's trainer does.
    pub decay_matrices_only: bool,
}

impl Default for AdamWOptions {
    fn default() -> Self {
        AdamWOptions { betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.01, decay_matrices_only: false }
    }
}

impl AdamWOptions {
    /// Checks ranges.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the setting as Hugging Face's trainer calls it.
    pub fn validate(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Config, "adamw", message));
        for (name, beta) in [("adam_beta1", self.betas.0), ("adam_beta2", self.betas.1)] {
            if !(0.0..1.0).contains(&beta) {
                return wrong(format!("{name} must be from 0 up to (not including) 1, found {beta}"));
            }
        }
        if !(self.eps.is_finite() && self.eps > 0.0) {
            return wrong(format!("adam_epsilon must be positive, found {}", self.eps));
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            return wrong(format!("weight_decay must not be negative, found {}", self.weight_decay));
        }
        Ok(())
    }
}

/// AdamW (Loshchilov and Hutter 2019) in PyTorch's order of operations. Moments are `f32` whatever the parameter's type,
/// and half-float parameters have an `f32` twin, so that small steps are not rounded away.
#[derive(Debug)]
pub struct AdamW {
    options: AdamWOptions,
    steps: u64,
    state: BTreeMap<String, Slot>,
}

#[derive(Debug)]
struct Slot {
    shape: Shape,
    device: crate::Device,
    /// Steps of this parameter: fewer than the optimizer's if it had no gradient in some.
    steps: u64,
    /// `None` only while a step is under way.
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    master: Option<StorageRef>,
    exp_avg: StorageRef,
    exp_avg_sq: StorageRef,
}

impl AdamW {
    /// An optimizer without history.
    pub fn new(options: AdamWOptions) -> Self {
        AdamW { options, steps: 0, state: BTreeMap::new() }
    }

    fn slot(&mut self, param: &Param) -> Result<&mut Slot> {
        if !self.state.contains_key(param.name()) {
            let value = param.tensor()?;
            let moments = if value.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
            let zeros = || Tensor::zeros(value.shape(), moments, value.device())?.into_storage();
            let half = matches!(value.dtype(), DType::F16 | DType::BF16);
            let master = half.then(|| value.detach().to_dtype(DType::F32)?.into_storage()).transpose()?;
            let held = Some(Held { master, exp_avg: zeros()?, exp_avg_sq: zeros()? });
            let slot = Slot { shape: *value.shape(), device: value.device().clone(), steps: 0, held };
            self.state.insert(param.name().to_owned(), slot);
        }
        Ok(self.state.get_mut(param.name()).unwrap_or_else(|| unreachable!("it was just inserted")))
    }
}

impl Optimizer for AdamW {
    fn step(&mut self, params: &[Param], grads: &[Option<Tensor>], lr: f64, grad_scale: f64) -> Result<()> {
        let chosen: Vec<(&Param, &Tensor)> =
            params.iter().zip(grads).filter_map(|(p, g)| Some((p, g.as_ref()?))).collect();
        let mut held = Vec::with_capacity(chosen.len());
        for (param, _) in &chosen {
            let slot = self.slot(param)?;
            let state = slot.held.take();
            let lost = || bad_state(format!("the state of {} was lost when a step failed", param.name()));
            slot.steps += 1;
            held.push((state.ok_or_else(lost)?, slot.steps));
        }
        let o = &self.options;
        let all: Vec<&Parameter> = chosen.iter().map(|(p, _)| &***p).collect();
        let Some((_, first)) = chosen.first() else {
            self.steps += 1;
            return Ok(());
        };
        let done = Parameter::update_all(&all, |storages| {
            let args = storages.into_iter().zip(held).zip(&chosen).map(|((storage, (state, step)), (param, grad))| {
                let decays = !o.decay_matrices_only || param.shape().rank() >= 2;
                AdamWArgs {
                    param: storage,
                    master: state.master,
                    exp_avg: state.exp_avg,
                    exp_avg_sq: state.exp_avg_sq,
                    grad: grad.view(),
                    lr,
                    beta1: o.betas.0,
                    beta2: o.betas.1,
                    eps: o.eps,
                    weight_decay: if decays { o.weight_decay } else { 0.0 },
                    step,
                    grad_scale,
                }
            });
            let done = first.device().kernels().adamw_steps(args.collect())?;
            Ok(done
                .into_iter()
                .map(|d| (d.param, Held { master: d.master, exp_avg: d.exp_avg, exp_avg_sq: d.exp_avg_sq }))
                .unzip())
        })?;
        for ((param, _), state) in chosen.iter().zip::<Vec<Held>>(done) {
            self.slot(param)?.held = Some(state);
        }
        self.steps += 1;
        Ok(())
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut out = BTreeMap::new();
        for (name, slot) in &self.state {
            let Some(held) = &slot.held else {
                return Err(bad_state(format!("the state of {name} was lost when a step failed")));
            };
            let mut put = |what: &str, storage: &StorageRef| {
                let tensor = Tensor::from_storage(storage.clone(), slot.shape, &slot.device);
                out.insert(format!("{name}.{what}"), tensor);
            };
            put("exp_avg", &held.exp_avg);
            put("exp_avg_sq", &held.exp_avg_sq);
            if let Some(master) = &held.master {
                put("master", master);
            }
            out.insert(format!("{name}.step"), Tensor::scalar(slot.steps as i64, &slot.device)?);
        }
        Ok(out)
    }

    fn load_state(&mut self, params: &[Param], steps: u64, state: &BTreeMap<String, Tensor>) -> Result<()> {
        let known: BTreeSet<&str> = params.iter().map(|p| p.name()).collect();
        for name in state.keys() {
            let owner = name.rsplit_once('.').map_or(name.as_str(), |(owner, _)| owner);
            if !known.contains(owner) {
                return Err(bad_state(format!("there is no trained parameter for {name}")));
            }
        }
        self.state.clear();
        self.steps = steps;
        for param in params {
            let get = |what: &str| state.get(&format!("{}.{what}", param.name()));
            let Some(step) = get("step") else { continue };
            let step = step.item::<i64>()?.max(0) as u64;
            let slot = self.slot(param)?;
            slot.steps = step;
            let device = slot.device.clone();
            let Some(held) = &mut slot.held else { continue };
            let load = |what: &str, into: &mut StorageRef| -> Result<()> {
                let found = get(what).ok_or_else(|| bad_state(format!("{}.{what} is missing", param.name())))?;
                if found.shape() != param.shape() || found.dtype() != into.dtype() {
                    let message =
                        format!("{}.{what} is {found:?}, expected {}{}", param.name(), into.dtype(), param.shape());
                    return Err(bad_state(message));
                }
                // A copy: the step writes in place.
                *into =
                    Tensor::from_bytes(&found.to_bytes()?, found.dtype(), found.shape(), &device)?.into_storage()?;
                Ok(())
            };
            load("exp_avg", &mut held.exp_avg)?;
            load("exp_avg_sq", &mut held.exp_avg_sq)?;
            if let Some(master) = &mut held.master {
                load("master", master)?;
            }
        }
        Ok(())
    }
}
