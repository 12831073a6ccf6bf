//! A named tensor that training changes.

use crate::backend::StorageRef;
use crate::{Error, ErrorKind, Result, Shape, Tensor};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// A shared handle to a [`Parameter`].
pub type Param = Arc<Parameter>;

/// A named tensor of a model, frozen or trained.
///
/// Every use takes [`Parameter::tensor`], which is a leaf that asks for a gradient while the parameter is trained.
/// The optimizer changes the value by [`Parameter::update`], in place where the device can.
pub struct Parameter {
    name: String,
    shape: Shape,
    /// `None` after an update that failed half way.
    value: RwLock<Option<Tensor>>,
}

impl Parameter {
    /// A frozen parameter.
    pub fn new(name: impl Into<String>, value: &Tensor) -> Self {
        Parameter { name: name.into(), shape: *value.shape(), value: RwLock::new(Some(value.detach())) }
    }

    /// The full name, as in the weight files.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The sizes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The value: a leaf that asks for a gradient if the parameter is trained.
    ///
    /// # Errors
    /// [`ErrorKind::Backend`] if an update failed before and took the value with it.
    pub fn tensor(&self) -> Result<Tensor> {
        self.value.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(|| self.lost())
    }

    /// Whether it is trained.
    pub fn is_trainable(&self) -> bool {
        self.value.read().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(Tensor::tracks_grad)
    }

    /// Trains or freezes it from the next use on.
    ///
    /// # Errors
    /// [`ErrorKind::DType`] for element types that are not floats.
    pub fn set_trainable(&self, trainable: bool) -> Result<()> {
        let mut value = self.value.write().unwrap_or_else(PoisonError::into_inner);
        let now = value.as_ref().ok_or_else(|| self.lost())?;
        if now.tracks_grad() != trainable {
            *value = Some(if trainable { now.requires_grad()? } else { now.detach() });
        }
        Ok(())
    }

    /// Replaces the value; whether it is trained stays as it was.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the shape differs.
    pub fn set(&self, new: &Tensor) -> Result<()> {
        if *new.shape() != self.shape {
            let message = format!("expected shape {}, found {}", self.shape, new.shape());
            return Err(Error::new(ErrorKind::Shape, "set parameter", message).at(&self.name));
        }
        let mut value = self.value.write().unwrap_or_else(PoisonError::into_inner);
        let trained = value.as_ref().is_some_and(Tensor::tracks_grad);
        *value = Some(if trained { new.requires_grad()? } else { new.detach() });
        Ok(())
    }

    /// Gives the storage to `step` and takes back what it returns, along with something else that it found. In place if
    /// no graph holds the value any more.
    ///
    /// # Errors
    /// Those of `step`, after which the value is lost.
    pub fn update<R>(&self, step: impl FnOnce(StorageRef) -> Result<(StorageRef, R)>) -> Result<R> {
        let mut value = self.value.write().unwrap_or_else(PoisonError::into_inner);
        let old = value.take().ok_or_else(|| self.lost())?;
        let (trained, device) = (old.tracks_grad(), old.device().clone());
        let (storage, found) = step(old.into_storage()?).map_err(|e| e.at(&self.name))?;
        let new = Tensor::from_storage(storage, self.shape, &device);
        *value = Some(if trained { new.requires_grad()? } else { new });
        Ok(found)
    }

    /// As [`Parameter::update`] for many at once, all different: `step` gets the storages of all and returns them in the
    /// same order.
    ///
    /// # Errors
    /// As there; all values are lost then.
    pub fn update_all<R>(
        params: &[&Parameter],
        step: impl FnOnce(Vec<StorageRef>) -> Result<(Vec<StorageRef>, R)>,
    ) -> Result<R> {
        let mut values: Vec<_> =
            params.iter().map(|p| p.value.write().unwrap_or_else(PoisonError::into_inner)).collect();
        let mut storages = Vec::with_capacity(params.len());
        let mut kept = Vec::with_capacity(params.len());
        for (value, param) in values.iter_mut().zip(params) {
            let old = value.take().ok_or_else(|| param.lost())?;
            kept.push((old.tracks_grad(), old.device().clone()));
            storages.push(old.into_storage()?);
        }
        let (storages, found) = step(storages)?;
        for (((value, param), storage), (trained, device)) in values.iter_mut().zip(params).zip(storages).zip(kept) {
            let new = Tensor::from_storage(storage, param.shape, &device);
            **value = Some(if trained { new.requires_grad()? } else { new });
        }
        Ok(found)
    }

    fn lost(&self) -> Error {
        Error::new(ErrorKind::Backend, "parameter", "the value was lost when an update failed")
            .at(&self.name)
            .hint("load the last checkpoint")
    }
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.name, self.shape, if self.is_trainable() { ", trained" } else { "" })
    }
}
