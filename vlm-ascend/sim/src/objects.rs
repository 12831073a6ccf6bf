//! What the interface hands out besides memory, streams and events: tensors, scalars, arrays, executors, models.
//!
//! A handle is a number that is never used twice, so that a handle of something destroyed is always recognised.

use crate::plan::Plan;
use crate::types::{Scalar, Tensor};
use std::any::Any;
use std::collections::{BTreeMap, HashMap};

/// An `aclTensor`.
#[derive(Clone, Debug)]
pub(crate) struct TensorObject {
    /// As described; its slot means nothing here.
    pub(crate) tensor: Tensor,
    pub(crate) storage_dims: Vec<i64>,
    pub(crate) address: u64,
}

/// One tensor operand of an executor.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) tensor: Tensor,
    pub(crate) address: u64,
    pub(crate) written: bool,
    pub(crate) read: bool,
}

/// An `aclOpExecutor`: what the first phase made.
pub(crate) struct Executor {
    pub(crate) op: &'static str,
    pub(crate) plan: Plan,
    pub(crate) slots: Vec<Slot>,
    pub(crate) workspace: usize,
    pub(crate) repeatable: bool,
}

pub(crate) enum Object {
    Tensor(TensorObject),
    Scalar(Scalar),
    Ints(Vec<i64>),
    /// No operation of the table takes floats: only that there is one is known.
    Floats,
    Bools(Vec<bool>),
    Tensors(Vec<u64>),
    Scalars(Vec<u64>),
    Executor(Box<Executor>),
    /// What other parts of the interface have: its kind and itself.
    Other(&'static str, Box<dyn Any + Send>),
}

impl Object {
    fn kind(&self) -> &'static str {
        match self {
            Object::Tensor(_) => "tensors",
            Object::Scalar(_) => "scalars",
            Object::Ints(_) | Object::Floats | Object::Bools(_) => "arrays",
            Object::Tensors(_) => "tensor lists",
            Object::Scalars(_) => "scalar lists",
            Object::Executor(_) => "executors",
            Object::Other(kind, _) => kind,
        }
    }
}

/// All that are alive.
#[derive(Default)]
pub(crate) struct Objects {
    alive: HashMap<u64, Object>,
    made: u64,
}

/// Where handles begin: an address that no host memory has.
const FIRST: u64 = 0x5100_0000_0000;

impl Objects {
    pub(crate) fn add(&mut self, object: Object) -> u64 {
        self.made += 1;
        let handle = FIRST + self.made * 16;
        self.alive.insert(handle, object);
        handle
    }

    pub(crate) fn get(&self, handle: u64) -> Option<&Object> {
        self.alive.get(&handle)
    }

    pub(crate) fn get_mut(&mut self, handle: u64) -> Option<&mut Object> {
        self.alive.get_mut(&handle)
    }

    pub(crate) fn remove(&mut self, handle: u64) -> Option<Object> {
        self.alive.remove(&handle)
    }

    /// What a part of the interface keeps under `handle`.
    pub(crate) fn other<T: 'static>(&self, handle: u64) -> Option<&T> {
        match self.get(handle)? {
            Object::Other(_, any) => any.downcast_ref(),
            _ => None,
        }
    }

    /// As [`Objects::other`], to change it.
    pub(crate) fn other_mut<T: 'static>(&mut self, handle: u64) -> Option<&mut T> {
        match self.get_mut(handle)? {
            Object::Other(_, any) => any.downcast_mut(),
            _ => None,
        }
    }

    fn of_kind(&self, kind: &str) -> Vec<u64> {
        self.alive.iter().filter(|(_, o)| o.kind() == kind).map(|(&h, _)| h).collect()
    }

    /// All graphs.
    pub(crate) fn graphs(&self) -> Vec<u64> {
        self.of_kind("graphs")
    }

    /// All pieces of physical memory.
    pub(crate) fn physical(&self) -> Vec<u64> {
        self.of_kind("physical memory")
    }

    pub(crate) fn live_by_kind(&self) -> BTreeMap<&'static str, usize> {
        let mut found = BTreeMap::new();
        self.alive.values().for_each(|o| *found.entry(o.kind()).or_default() += 1);
        found
    }
}
