//! Arguments of operations, kept: every view as its storage and layout.

use crate::backend::{
    AdamWArgs, ArgReduceOp, AttentionArgs, BinaryOp, CompareOp, CumulativeOp, Distribution, QuantizedLinearArgs,
    RandomKey, ReduceOp, RopeArgs, RopeStyle, ScatterOp, StorageRef, UnaryOp, View,
};
use crate::shape::Dims;
use crate::{DType, Layout, Scalar};
use std::sync::Arc;

/// The storages to use in a call: for views in the order in which they were kept, and those that are given up.
pub(super) struct Now<'a> {
    pub(super) views: std::slice::Iter<'a, StorageRef>,
    pub(super) owned: std::vec::IntoIter<StorageRef>,
}

/// A kept argument.
pub(super) trait Kept: Send + 'static {
    /// The argument as the operation takes it.
    type Given<'a>;

    /// Shows the storages of views, then is shown those given up.
    fn operands(&mut self, views: &mut dyn FnMut(&StorageRef), owned: &mut dyn FnMut(&mut StorageRef));

    /// The argument with the storages of now.
    fn give<'a>(&'a self, now: &mut Now<'a>) -> Self::Given<'a>;
}

/// An argument that can be kept.
pub(super) trait Keep {
    /// As what.
    type Kept: Kept;
    /// Keeps it.
    fn keep(self) -> Self::Kept;
}

macro_rules! plain {
    ($($ty:ty),*) => {$(
        impl Keep for $ty {
            type Kept = $ty;
            fn keep(self) -> $ty {
                self
            }
        }
        impl Kept for $ty {
            type Given<'a> = $ty;
            fn operands(&mut self, _: &mut dyn FnMut(&StorageRef), _: &mut dyn FnMut(&mut StorageRef)) {}
            fn give<'a>(&'a self, _: &mut Now<'a>) -> $ty {
                *self
            }
        }
    )*};
}
plain!(
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
    RandomKey
);

impl Keep for &Layout {
    type Kept = Layout;
    fn keep(self) -> Layout {
        *self
    }
}
impl Kept for Layout {
    type Given<'a> = &'a Layout;
    fn operands(&mut self, _: &mut dyn FnMut(&StorageRef), _: &mut dyn FnMut(&mut StorageRef)) {}
    fn give<'a>(&'a self, _: &mut Now<'a>) -> &'a Layout {
        self
    }
}

/// A view.
pub(super) struct Viewed {
    storage: StorageRef,
    layout: Layout,
}

impl Viewed {
    fn given<'a>(&'a self, now: &mut Now<'a>) -> View<'a> {
        let storage = now.views.next().unwrap_or(&self.storage);
        View { storage, layout: &self.layout }
    }
}

impl Keep for View<'_> {
    type Kept = Viewed;
    fn keep(self) -> Viewed {
        Viewed { storage: self.storage.clone(), layout: *self.layout }
    }
}
impl Kept for Viewed {
    type Given<'a> = View<'a>;
    fn operands(&mut self, views: &mut dyn FnMut(&StorageRef), _: &mut dyn FnMut(&mut StorageRef)) {
        views(&self.storage);
    }
    fn give<'a>(&'a self, now: &mut Now<'a>) -> View<'a> {
        self.given(now)
    }
}

/// A storage that was given up.
pub(super) struct GivenUp(StorageRef);

impl GivenUp {
    fn given(&self, now: &mut Now<'_>) -> StorageRef {
        now.owned.next().unwrap_or_else(|| self.0.clone())
    }
}

impl Keep for StorageRef {
    type Kept = GivenUp;
    fn keep(self) -> GivenUp {
        GivenUp(self)
    }
}
impl Kept for GivenUp {
    type Given<'a> = StorageRef;
    fn operands(&mut self, _: &mut dyn FnMut(&StorageRef), owned: &mut dyn FnMut(&mut StorageRef)) {
        owned(&mut self.0);
    }
    fn give<'a>(&'a self, now: &mut Now<'a>) -> StorageRef {
        self.given(now)
    }
}

impl<T: Keep> Keep for Option<T> {
    type Kept = Option<T::Kept>;
    fn keep(self) -> Self::Kept {
        self.map(T::keep)
    }
}
impl<T: Kept> Kept for Option<T> {
    type Given<'a> = Option<T::Given<'a>>;
    fn operands(&mut self, views: &mut dyn FnMut(&StorageRef), owned: &mut dyn FnMut(&mut StorageRef)) {
        self.iter_mut().for_each(|x| x.operands(views, owned));
    }
    fn give<'a>(&'a self, now: &mut Now<'a>) -> Self::Given<'a> {
        self.as_ref().map(|x| x.give(now))
    }
}

impl<T: Keep> Keep for Vec<T> {
    type Kept = Vec<T::Kept>;
    fn keep(self) -> Self::Kept {
        self.into_iter().map(T::keep).collect()
    }
}
impl<T: Kept> Kept for Vec<T> {
    type Given<'a> = Vec<T::Given<'a>>;
    fn operands(&mut self, views: &mut dyn FnMut(&StorageRef), owned: &mut dyn FnMut(&mut StorageRef)) {
        self.iter_mut().for_each(|x| x.operands(views, owned));
    }
    fn give<'a>(&'a self, now: &mut Now<'a>) -> Self::Given<'a> {
        self.iter().map(|x| x.give(now)).collect()
    }
}

/// [`RopeArgs`].
pub(super) struct Rope {
    views: [Viewed; 3],
    style: RopeStyle,
    inverse: bool,
}

impl Keep for RopeArgs<'_> {
    type Kept = Rope;
    fn keep(self) -> Rope {
        Rope { views: [self.x, self.cos, self.sin].map(Keep::keep), style: self.style, inverse: self.inverse }
    }
}
impl Kept for Rope {
    type Given<'a> = RopeArgs<'a>;
    fn operands(&mut self, views: &mut dyn FnMut(&StorageRef), owned: &mut dyn FnMut(&mut StorageRef)) {
        self.views.iter_mut().for_each(|v| v.operands(views, owned));
    }
    fn give<'a>(&'a self, now: &mut Now<'a>) -> RopeArgs<'a> {
        let [x, cos, sin] = self.views.each_ref().map(|v| v.given(now));
        RopeArgs { x, cos, sin, style: self.style, inverse: self.inverse }
    }
}

/// [`AttentionArgs`].
pub(super) struct Attention {
    views: [Viewed; 3],
    mask: Option<Viewed>,
    scale: f64,
    causal: bool,
    window: Option<usize>,
    segments: Option<Arc<[usize]>>,
}

impl Keep for AttentionArgs<'_> {
    type Kept = Attention;
    fn keep(self) -> Attention {
        let views = [self.q, self.k, self.v].map(Keep::keep);
        let AttentionArgs { mask, scale, causal, window, segments, .. } = self;
        Attention { views, mask: mask.keep(), scale, causal, window, segments }
    }
}
impl Kept for Attention {
    type Given<'a> = AttentionArgs<'a>;
    fn operands(&mut self, views: &mut dyn FnMut(&StorageRef), owned: &mut dyn FnMut(&mut StorageRef)) {
        self.views.iter_mut().for_each(|v| v.operands(views, owned));
        self.mask.operands(views, owned);
    }
    fn give<'a>(&'a self, now: &mut Now<'a>) -> AttentionArgs<'a> {
        let [q, k, v] = self.views.each_ref().map(|v| v.given(now));
        let mask = self.mask.give(now);
        let segments = self.segments.clone();
        AttentionArgs { q, k, v, mask, scale: self.scale, causal: self.causal, window: self.window, segments }
    }
}

/// [`QuantizedLinearArgs`].
pub(super) struct QuantizedLinear {
    views: [Viewed; 3],
    bias: Option<Viewed>,
    bits: u32,
    group: usize,
}

impl Keep for QuantizedLinearArgs<'_> {
    type Kept = QuantizedLinear;
    fn keep(self) -> QuantizedLinear {
        let views = [self.x, self.data, self.scales].map(Keep::keep);
        QuantizedLinear { views, bias: self.bias.keep(), bits: self.bits, group: self.group }
    }
}
impl Kept for QuantizedLinear {
    type Given<'a> = QuantizedLinearArgs<'a>;
    fn operands(&mut self, views: &mut dyn FnMut(&StorageRef), owned: &mut dyn FnMut(&mut StorageRef)) {
        self.views.iter_mut().for_each(|v| v.operands(views, owned));
        self.bias.operands(views, owned);
    }
    fn give<'a>(&'a self, now: &mut Now<'a>) -> QuantizedLinearArgs<'a> {
        let [x, data, scales] = self.views.each_ref().map(|v| v.given(now));
        QuantizedLinearArgs { x, data, scales, bias: self.bias.give(now), bits: self.bits, group: self.group }
    }
}

/// [`AdamWArgs`].
pub(super) struct AdamW {
    param: GivenUp,
    master: Option<GivenUp>,
    moments: [GivenUp; 2],
    grad: Viewed,
    numbers: [f64; 6],
    step: u64,
}

impl Keep for AdamWArgs<'_> {
    type Kept = AdamW;
    fn keep(self) -> AdamW {
        let numbers = [self.lr, self.beta1, self.beta2, self.eps, self.weight_decay, self.grad_scale];
        AdamW {
            param: self.param.keep(),
            master: self.master.keep(),
            moments: [self.exp_avg.keep(), self.exp_avg_sq.keep()],
            grad: self.grad.keep(),
            numbers,
            step: self.step,
        }
    }
}
impl Kept for AdamW {
    type Given<'a> = AdamWArgs<'a>;
    fn operands(&mut self, views: &mut dyn FnMut(&StorageRef), owned: &mut dyn FnMut(&mut StorageRef)) {
        self.param.operands(views, owned);
        self.master.operands(views, owned);
        self.moments.iter_mut().for_each(|m| m.operands(views, owned));
        self.grad.operands(views, owned);
    }
    fn give<'a>(&'a self, now: &mut Now<'a>) -> AdamWArgs<'a> {
        let (param, master) = (self.param.given(now), self.master.give(now));
        let [exp_avg, exp_avg_sq] = self.moments.each_ref().map(|m| m.given(now));
        let [lr, beta1, beta2, eps, weight_decay, grad_scale] = self.numbers;
        let (grad, step) = (self.grad.given(now), self.step);
        AdamWArgs { param, master, exp_avg, exp_avg_sq, grad, lr, beta1, beta2, eps, weight_decay, step, grad_scale }
    }
}
