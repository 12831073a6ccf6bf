//! The list of all operations, from which [`OpKind`] and the forwarding of layers are made.

use super::{
    AdamWArgs, AdamWState, ArgReduceOp, AttentionArgs, BinaryOp, CompareOp, CumulativeOp, Distribution,
    QuantizedLinearArgs, RandomKey, ReduceOp, RopeArgs, ScatterOp, StorageRef, UnaryOp, View,
};
use crate::shape::Dims;
use crate::{DType, Layout, Result, Scalar};

/// Hands the list of operations to the macro `$then`: kind, variant, method, parameters, result.
macro_rules! for_each_operation {
    ($then:ident) => {
        $then! {
            memory Copy copy(src: View<'_>) -> StorageRef;
            memory CopyInto copy_into(dst: StorageRef, layout: &Layout, src: View<'_>) -> StorageRef;
            primitive Fill fill(dtype: DType, len: usize, value: Scalar) -> StorageRef;
            primitive Arange arange(dtype: DType, start: f64, step: f64, len: usize) -> StorageRef;
            primitive Cast cast(x: View<'_>, dtype: DType) -> StorageRef;
            primitive Unary unary(op: UnaryOp, x: View<'_>) -> StorageRef;
            primitive Binary binary(op: BinaryOp, a: View<'_>, b: View<'_>) -> StorageRef;
            primitive Compare compare(op: CompareOp, a: View<'_>, b: View<'_>) -> StorageRef;
            primitive Select select(cond: View<'_>, a: View<'_>, b: View<'_>) -> StorageRef;
            primitive Reduce reduce(op: ReduceOp, x: View<'_>, dims: Dims) -> StorageRef;
            primitive ArgReduce arg_reduce(op: ArgReduceOp, x: View<'_>, dim: usize) -> StorageRef;
            primitive Cumulative cumulative(op: CumulativeOp, x: View<'_>, dim: usize) -> StorageRef;
            primitive Matmul matmul(a: View<'_>, b: View<'_>) -> StorageRef;
            primitive IndexSelect index_select(x: View<'_>, dim: usize, indices: View<'_>) -> StorageRef;
            primitive IndexUpdate index_update(op: ScatterOp, dst: StorageRef, shape: Dims, dim: usize, indices: View<'_>, src: View<'_>) -> StorageRef;
            primitive Gather gather(x: View<'_>, dim: usize, indices: View<'_>) -> StorageRef;
            primitive Scatter scatter(op: ScatterOp, dst: StorageRef, shape: Dims, dim: usize, indices: View<'_>, src: View<'_>) -> StorageRef;
            primitive Sort sort(x: View<'_>, dim: usize, descending: bool) -> (StorageRef, StorageRef);
            kernel Concat concat(views: Vec<View<'_>>, dim: usize) -> StorageRef;
            kernel Random random(dtype: DType, len: usize, from: Distribution, key: RandomKey) -> StorageRef;
            kernel Dropout dropout(x: View<'_>, p: f64, key: RandomKey) -> StorageRef;
            kernel UnaryBackward unary_backward(op: UnaryOp, x: View<'_>, y: View<'_>, grad: View<'_>) -> StorageRef;
            kernel Glu glu(op: UnaryOp, gate: View<'_>, up: View<'_>) -> StorageRef;
            kernel GluBackward glu_backward(op: UnaryOp, gate: View<'_>, up: View<'_>, grad: View<'_>) -> (StorageRef, StorageRef);
            kernel Linear linear(x: View<'_>, w: View<'_>, bias: Option<View<'_>>) -> StorageRef;
            kernel QuantizedLinear quantized_linear(args: QuantizedLinearArgs<'_>) -> StorageRef;
            kernel Embedding embedding(weight: View<'_>, ids: View<'_>) -> StorageRef;
            kernel Softmax softmax(x: View<'_>, dim: usize) -> StorageRef;
            kernel SoftmaxBackward softmax_backward(y: View<'_>, grad: View<'_>, dim: usize) -> StorageRef;
            kernel LogSoftmax log_softmax(x: View<'_>, dim: usize) -> StorageRef;
            kernel LogSoftmaxBackward log_softmax_backward(y: View<'_>, grad: View<'_>, dim: usize) -> StorageRef;
            kernel LayerNorm layer_norm(x: View<'_>, weight: Option<View<'_>>, bias: Option<View<'_>>, eps: f64) -> StorageRef;
            kernel LayerNormBackward layer_norm_backward(x: View<'_>, weight: Option<View<'_>>, grad: View<'_>, eps: f64, affine: bool) -> (StorageRef, Option<StorageRef>, Option<StorageRef>);
            kernel RmsNorm rms_norm(x: View<'_>, weight: Option<View<'_>>, eps: f64, offset: f64) -> StorageRef;
            kernel RmsNormBackward rms_norm_backward(x: View<'_>, weight: Option<View<'_>>, grad: View<'_>, eps: f64, offset: f64, affine: bool) -> (StorageRef, Option<StorageRef>);
            kernel Rope rope(args: RopeArgs<'_>) -> StorageRef;
            kernel Attention attention(args: AttentionArgs<'_>, save: bool) -> (StorageRef, Option<StorageRef>);
            kernel AttentionBackward attention_backward(args: AttentionArgs<'_>, out: View<'_>, lse: View<'_>, grad: View<'_>) -> (StorageRef, StorageRef, StorageRef);
            kernel CrossEntropy cross_entropy(logits: View<'_>, targets: View<'_>, ignore: i64) -> (StorageRef, StorageRef);
            kernel CrossEntropyBackward cross_entropy_backward(logits: View<'_>, targets: View<'_>, ignore: i64, lse: View<'_>, grad: View<'_>) -> StorageRef;
            kernel LinearCrossEntropy linear_cross_entropy(x: View<'_>, w: View<'_>, targets: View<'_>, ignore: i64) -> (StorageRef, StorageRef);
            kernel LinearCrossEntropyBackward linear_cross_entropy_backward(x: View<'_>, w: View<'_>, targets: View<'_>, ignore: i64, lse: View<'_>, grad: View<'_>, weight: bool) -> (StorageRef, Option<StorageRef>);
            kernel TopK topk(x: View<'_>, k: usize, dim: usize, largest: bool) -> (StorageRef, StorageRef);
            kernel AdamWStep adamw_step(args: AdamWArgs<'_>) -> AdamWState;
            kernel AdamWSteps adamw_steps(all: Vec<AdamWArgs<'_>>) -> Vec<AdamWState>;
        }
    };
}
#[allow(unused_imports)]
pub(crate) use for_each_operation;

macro_rules! op_kind {
    ($($tier:ident $variant:ident $method:ident($($arg:ident: $ty:ty),*) -> $out:ty;)*) => {
        /// One method of the contract. As text it has the method's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum OpKind {
            $(#[doc = concat!("The ", stringify!($tier), " method `", stringify!($method), "`.")] $variant,)*
        }

        impl OpKind {
            /// Every operation, in the order of the contract.
            pub const ALL: &'static [OpKind] = &[$(OpKind::$variant),*];

            /// The method's name.
            pub const fn name(self) -> &'static str {
                match self { $(OpKind::$variant => stringify!($method),)* }
            }

            const fn tier(self) -> &'static str {
                match self { $(OpKind::$variant => stringify!($tier),)* }
            }
        }
    };
}
for_each_operation!(op_kind);

impl OpKind {
    /// Whether every backend implements it itself; the others are fused operations with default bodies.
    pub fn is_primitive(self) -> bool {
        self.tier() != "kernel"
    }
}

impl std::fmt::Display for OpKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Puts other storages in the place of a call's operands.
pub trait Remap<'b> {
    /// The view to use instead of this one.
    fn view(&mut self, view: View<'b>) -> View<'b>;
    /// The storage to use instead of this one, which the call gives up.
    fn storage(&mut self, storage: StorageRef) -> StorageRef;
}

/// An argument of an operation, or a tuple of them: lets a layer see and replace the tensors in it.
pub trait Argument<'b>: Sized {
    /// Shows every view.
    fn visit(&self, f: &mut dyn FnMut(View<'_>)) {
        let _ = f;
    }
    /// Shows every storage that is given up.
    fn visit_owned(&self, f: &mut dyn FnMut(&StorageRef)) {
        let _ = f;
    }
    /// With every operand replaced, in the order in which the visits show them.
    #[must_use]
    fn remap(self, to: &mut dyn Remap<'b>) -> Self {
        let _ = to;
        self
    }
}

macro_rules! plain_arguments { ($($ty:ty),*) => { $(impl Argument<'_> for $ty {})* } }
plain_arguments!(
    bool,
    usize,
    i64,
    f64,
    DType,
    Scalar,
    Dims,
    UnaryOp,
    BinaryOp,
    CompareOp,
    ReduceOp,
    ArgReduceOp,
    CumulativeOp,
    ScatterOp,
    Distribution,
    RandomKey,
    &Layout
);

impl<'b> Argument<'b> for View<'b> {
    fn visit(&self, f: &mut dyn FnMut(View<'_>)) {
        f(*self);
    }
    fn remap(self, to: &mut dyn Remap<'b>) -> Self {
        to.view(self)
    }
}

impl Argument<'_> for StorageRef {
    fn visit_owned(&self, f: &mut dyn FnMut(&StorageRef)) {
        f(self);
    }
    fn remap(self, to: &mut dyn Remap<'_>) -> Self {
        to.storage(self)
    }
}

impl<'b, T: Argument<'b>> Argument<'b> for Option<T> {
    fn visit(&self, f: &mut dyn FnMut(View<'_>)) {
        self.iter().for_each(|x| x.visit(f));
    }
    fn visit_owned(&self, f: &mut dyn FnMut(&StorageRef)) {
        self.iter().for_each(|x| x.visit_owned(f));
    }
    fn remap(self, to: &mut dyn Remap<'b>) -> Self {
        self.map(|x| x.remap(to))
    }
}

impl<'b, T: Argument<'b>> Argument<'b> for Vec<T> {
    fn visit(&self, f: &mut dyn FnMut(View<'_>)) {
        self.iter().for_each(|x| x.visit(f));
    }
    fn visit_owned(&self, f: &mut dyn FnMut(&StorageRef)) {
        self.iter().for_each(|x| x.visit_owned(f));
    }
    fn remap(self, to: &mut dyn Remap<'b>) -> Self {
        self.into_iter().map(|x| x.remap(to)).collect()
    }
}

impl<'b> Argument<'b> for RopeArgs<'b> {
    fn visit(&self, f: &mut dyn FnMut(View<'_>)) {
        [self.x, self.cos, self.sin].into_iter().for_each(f);
    }
    fn remap(self, to: &mut dyn Remap<'b>) -> Self {
        RopeArgs { x: to.view(self.x), cos: to.view(self.cos), sin: to.view(self.sin), ..self }
    }
}

impl<'b> Argument<'b> for AttentionArgs<'b> {
    fn visit(&self, f: &mut dyn FnMut(View<'_>)) {
        [self.q, self.k, self.v].into_iter().for_each(&mut *f);
        self.mask.into_iter().for_each(f);
    }
    fn remap(self, to: &mut dyn Remap<'b>) -> Self {
        let (q, k, v) = (to.view(self.q), to.view(self.k), to.view(self.v));
        AttentionArgs { q, k, v, mask: self.mask.map(|m| to.view(m)), ..self }
    }
}

impl<'b> Argument<'b> for QuantizedLinearArgs<'b> {
    fn visit(&self, f: &mut dyn FnMut(View<'_>)) {
        [self.x, self.data, self.scales].into_iter().for_each(&mut *f);
        self.bias.into_iter().for_each(f);
    }
    fn remap(self, to: &mut dyn Remap<'b>) -> Self {
        let (x, data, scales) = (to.view(self.x), to.view(self.data), to.view(self.scales));
        QuantizedLinearArgs { x, data, scales, bias: self.bias.map(|b| to.view(b)), ..self }
    }
}

impl<'b> Argument<'b> for AdamWArgs<'b> {
    fn visit(&self, f: &mut dyn FnMut(View<'_>)) {
        f(self.grad);
    }
    fn visit_owned(&self, f: &mut dyn FnMut(&StorageRef)) {
        f(&self.param);
        self.master.iter().for_each(&mut *f);
        f(&self.exp_avg);
        f(&self.exp_avg_sq);
    }
    fn remap(self, to: &mut dyn Remap<'b>) -> Self {
        let (param, master) = (to.storage(self.param), self.master.map(|s| to.storage(s)));
        let (exp_avg, exp_avg_sq) = (to.storage(self.exp_avg), to.storage(self.exp_avg_sq));
        AdamWArgs { param, master, exp_avg, exp_avg_sq, grad: to.view(self.grad), ..self }
    }
}

macro_rules! tuple_argument {
    ($($name:ident)*) => {
        #[allow(non_snake_case)]
        impl<'b, $($name: Argument<'b>),*> Argument<'b> for ($($name,)*) {
            fn visit(&self, f: &mut dyn FnMut(View<'_>)) {
                let ($($name,)*) = self;
                $($name.visit(f);)*
            }
            fn visit_owned(&self, f: &mut dyn FnMut(&StorageRef)) {
                let ($($name,)*) = self;
                $($name.visit_owned(f);)*
            }
            fn remap(self, to: &mut dyn Remap<'b>) -> Self {
                let ($($name,)*) = self;
                ($($name.remap(to),)*)
            }
        }
    };
}
tuple_argument!(A);
tuple_argument!(A B);
tuple_argument!(A B C);
tuple_argument!(A B C D);
tuple_argument!(A B C D E);
tuple_argument!(A B C D E F);
tuple_argument!(A B C D E F G);

/// A result of an operation: lets a layer see and replace the storages in it.
pub trait Outcome: Sized {
    /// Shows every storage.
    fn visit(&self, f: &mut dyn FnMut(&StorageRef));
    /// With every storage replaced.
    ///
    /// # Errors
    /// Those of `f`.
    fn map(self, f: &mut dyn FnMut(StorageRef) -> Result<StorageRef>) -> Result<Self>;
}

impl Outcome for StorageRef {
    fn visit(&self, f: &mut dyn FnMut(&StorageRef)) {
        f(self);
    }
    fn map(self, f: &mut dyn FnMut(StorageRef) -> Result<StorageRef>) -> Result<Self> {
        f(self)
    }
}

impl<T: Outcome> Outcome for Option<T> {
    fn visit(&self, f: &mut dyn FnMut(&StorageRef)) {
        self.iter().for_each(|x| x.visit(f));
    }
    fn map(self, f: &mut dyn FnMut(StorageRef) -> Result<StorageRef>) -> Result<Self> {
        self.map(|x| x.map(f)).transpose()
    }
}

impl<T: Outcome> Outcome for Vec<T> {
    fn visit(&self, f: &mut dyn FnMut(&StorageRef)) {
        self.iter().for_each(|x| x.visit(f));
    }
    fn map(self, f: &mut dyn FnMut(StorageRef) -> Result<StorageRef>) -> Result<Self> {
        self.into_iter().map(|x| x.map(f)).collect()
    }
}

impl<A: Outcome, B: Outcome> Outcome for (A, B) {
    fn visit(&self, f: &mut dyn FnMut(&StorageRef)) {
        self.0.visit(f);
        self.1.visit(f);
    }
    fn map(self, f: &mut dyn FnMut(StorageRef) -> Result<StorageRef>) -> Result<Self> {
        Ok((self.0.map(f)?, self.1.map(f)?))
    }
}

impl<A: Outcome, B: Outcome, C: Outcome> Outcome for (A, B, C) {
    fn visit(&self, f: &mut dyn FnMut(&StorageRef)) {
        self.0.visit(f);
        self.1.visit(f);
        self.2.visit(f);
    }
    fn map(self, f: &mut dyn FnMut(StorageRef) -> Result<StorageRef>) -> Result<Self> {
        Ok((self.0.map(f)?, self.1.map(f)?, self.2.map(f)?))
    }
}

impl Outcome for AdamWState {
    fn visit(&self, f: &mut dyn FnMut(&StorageRef)) {
        f(&self.param);
        self.master.iter().for_each(&mut *f);
        f(&self.exp_avg);
        f(&self.exp_avg_sq);
    }
    fn map(self, f: &mut dyn FnMut(StorageRef) -> Result<StorageRef>) -> Result<Self> {
        let (param, master) = (f(self.param)?, self.master.map(&mut *f).transpose()?);
        Ok(AdamWState { param, master, exp_avg: f(self.exp_avg)?, exp_avg_sq: f(self.exp_avg_sq)? })
    }
}
