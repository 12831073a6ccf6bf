//! The one place where calls are forwarded.

use crate::backend::calls::for_each_operation;
use crate::backend::{
    AdamWArgs, AdamWState, ArgReduceOp, Argument, AttentionArgs, BinaryOp, CompareOp, CumulativeOp, DeviceProperties,
    Distribution, HostBytes, Kernels, Memory, MemoryStats, OpKind, Outcome, Primitives, QuantizedLinearArgs, RandomKey,
    ReduceOp, Remap, RopeArgs, ScatterOp, StorageRef, Support, UnaryOp, View,
};
use crate::shape::Dims;
use crate::{DType, Layout, Result, Scalar};
use std::fmt::Debug;
use std::sync::Arc;

/// An operation with arguments `A` and result `R`, as a layer sees it.
pub struct Operation<'f, A, R> {
    kind: OpKind,
    run: &'f dyn Fn(&dyn Kernels, A) -> Result<R>,
    run_with: &'f dyn Fn(&dyn Kernels, A, Operands) -> Result<R>,
}

impl<A, R> Operation<'_, A, R> {
    /// Which one.
    pub fn kind(&self) -> OpKind {
        self.kind
    }

    /// Carries it out on `device`.
    ///
    /// # Errors
    /// Those of the device.
    pub fn run(&self, device: &dyn Kernels, args: A) -> Result<R> {
        (self.run)(device, args)
    }

    /// Carries it out on `device` with other storages in the place of the operands'.
    ///
    /// # Errors
    /// Those of the device.
    pub fn run_with(&self, device: &dyn Kernels, args: A, operands: Operands) -> Result<R> {
        (self.run_with)(device, args, operands)
    }
}

impl<A, R> Debug for Operation<'_, A, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Operation({})", self.kind)
    }
}

/// Storages for all operands of a call, in the order in which [`Argument`]'s visits show them.
#[derive(Debug, Default)]
pub struct Operands {
    /// For the views.
    pub views: Vec<StorageRef>,
    /// For the storages that are given up.
    pub owned: Vec<StorageRef>,
}

/// Hands the views' storages out; storages given up are taken from the front.
struct Replace<'m> {
    views: std::slice::Iter<'m, StorageRef>,
    owned: std::vec::IntoIter<StorageRef>,
}

impl<'m> Remap<'m> for Replace<'m> {
    fn view(&mut self, view: View<'m>) -> View<'m> {
        self.views.next().map_or(view, |storage| View::new(storage, view.layout))
    }

    fn storage(&mut self, storage: StorageRef) -> StorageRef {
        self.owned.next().unwrap_or(storage)
    }
}

/// What a layer does around calls.
pub trait Layer: Send + Sync + Debug {
    /// Carries out an operation: usually `operation.run(inner, args)`, with something before or after.
    ///
    /// # Errors
    /// Those of the call and of the layer.
    fn call<'b, A: Argument<'b> + Clone, R: Outcome>(
        &self,
        inner: &dyn Kernels,
        operation: &Operation<'_, A, R>,
        args: A,
    ) -> Result<R>;

    /// Sees a request for `bytes` bytes before it is made.
    ///
    /// # Errors
    /// Those of the layer.
    fn memory(&self, what: &'static str, bytes: usize) -> Result<()> {
        let _ = (what, bytes);
        Ok(())
    }

    /// What the device has, seen through the layer.
    fn supports(&self, inner: &dyn Kernels, op: OpKind, dtypes: &[DType]) -> Support {
        inner.supports(op, dtypes)
    }
}

impl<L: Layer> Layer for Arc<L> {
    fn call<'b, A: Argument<'b> + Clone, R: Outcome>(
        &self,
        inner: &dyn Kernels,
        operation: &Operation<'_, A, R>,
        args: A,
    ) -> Result<R> {
        (**self).call(inner, operation, args)
    }

    fn memory(&self, what: &'static str, bytes: usize) -> Result<()> {
        (**self).memory(what, bytes)
    }

    fn supports(&self, inner: &dyn Kernels, op: OpKind, dtypes: &[DType]) -> Support {
        (**self).supports(inner, op, dtypes)
    }
}

/// A device seen through a layer.
#[derive(Debug)]
pub struct Layered<L> {
    inner: Arc<dyn Kernels>,
    layer: L,
}

impl<L: Layer> Layered<L> {
    /// `inner` seen through `layer`.
    pub fn new(inner: Arc<dyn Kernels>, layer: L) -> Self {
        Layered { inner, layer }
    }

    /// The layer.
    pub fn layer(&self) -> &L {
        &self.layer
    }
}

/// The method of an operation of the tier wanted, nothing for the others.
macro_rules! method {
    (memory memory $($rest:tt)*) => { method! { $($rest)* } };
    (primitive primitive $($rest:tt)*) => { method! { $($rest)* } };
    (kernel kernel $($rest:tt)*) => { method! { $($rest)* } };
    (memory $other:ident $($rest:tt)*) => {};
    (primitive $other:ident $($rest:tt)*) => {};
    (kernel $other:ident $($rest:tt)*) => {};
    ($variant:ident $method:ident($($arg:ident: $ty:ty),*) -> $out:ty) => {
        fn $method(&self, $($arg: $ty),*) -> Result<$out> {
            let operation = Operation {
                kind: OpKind::$variant,
                run: &|device, ($($arg,)*)| device.$method($($arg),*),
                run_with: &|device, ($($arg,)*), Operands { views, owned }| {
                    let mut replace = Replace { views: views.iter(), owned: owned.into_iter() };
                    $(let $arg = Argument::remap($arg, &mut replace);)*
                    device.$method($($arg),*)
                },
            };
            self.layer.call(&*self.inner, &operation, ($($arg,)*))
        }
    };
}

macro_rules! forward {
    ($($tier:ident $variant:ident $method:ident($($arg:ident: $ty:ty),*) -> $out:ty;)*) => {
        impl<L: Layer> Memory for Layered<L> {
            $(method! { memory $tier $variant $method($($arg: $ty),*) -> $out })*

            fn alloc(&self, dtype: DType, len: usize) -> Result<StorageRef> {
                self.layer.memory("alloc", len * dtype.size())?;
                self.inner.alloc(dtype, len)
            }

            fn upload(&self, dtype: DType, bytes: &[u8]) -> Result<StorageRef> {
                self.layer.memory("upload", bytes.len())?;
                self.inner.upload(dtype, bytes)
            }

            fn adopt(&self, dtype: DType, bytes: HostBytes) -> Result<StorageRef> {
                self.layer.memory("adopt", bytes.as_slice().len())?;
                self.inner.adopt(dtype, bytes)
            }

            fn download(&self, src: &StorageRef, start: usize, out: &mut [u8]) -> Result<()> {
                self.layer.memory("download", out.len())?;
                self.inner.download(src, start, out)
            }

            fn host_bytes<'a>(&self, src: &'a StorageRef) -> Option<&'a [u8]> {
                self.inner.host_bytes(src)
            }

            fn synchronize(&self) -> Result<()> {
                self.inner.synchronize()
            }

            fn properties(&self) -> DeviceProperties {
                self.inner.properties()
            }

            fn memory_stats(&self) -> MemoryStats {
                self.inner.memory_stats()
            }

            fn first_outside(&self, indices: View<'_>, bound: usize) -> Result<Option<i64>> {
                self.inner.first_outside(indices, bound)
            }

            fn trim(&self) -> Result<()> {
                self.inner.trim()
            }
        }

        impl<L: Layer> Primitives for Layered<L> {
            $(method! { primitive $tier $variant $method($($arg: $ty),*) -> $out })*

            fn supports(&self, op: OpKind, dtypes: &[DType]) -> Support {
                self.layer.supports(&*self.inner, op, dtypes)
            }
        }

        impl<L: Layer> Kernels for Layered<L> {
            $(method! { kernel $tier $variant $method($($arg: $ty),*) -> $out })*
        }
    };
}
for_each_operation!(forward);

/// The element types of all operands.
pub(super) fn dtypes<'b>(args: &impl Argument<'b>) -> Vec<DType> {
    let mut all = Vec::new();
    args.visit(&mut |view| all.push(view.dtype()));
    args.visit_owned(&mut |storage| all.push(storage.dtype()));
    all
}

/// The operands as text: `f32[2, 3], i64[2]`.
pub(super) fn describe<'b>(args: &impl Argument<'b>) -> String {
    let mut all = Vec::new();
    args.visit(&mut |view| all.push(format!("{view:?}")));
    args.visit_owned(&mut |storage| all.push(format!("{}[{}]", storage.dtype(), storage.len())));
    all.join(", ")
}
