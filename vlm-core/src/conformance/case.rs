//! One operation in one variant.

use super::operand::Values;
use super::tolerance::Tolerance;
use crate::backend::OpKind;
use crate::{DType, Result, Tensor};
use std::fmt;

/// What runs: tensors in, tensors out.
pub(super) type Body = Box<dyn Fn(&[Tensor]) -> Result<Vec<Tensor>> + Send + Sync>;

/// The element type of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The one under test.
    Tested,
    /// This one.
    Fixed(DType),
}

/// One operand: what its elements are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operand {
    pub(super) values: Values,
    pub(super) kind: Kind,
}

/// An operation in one variant: operands, what to do with them and what is compared.
pub struct Case {
    pub(super) name: &'static str,
    pub(super) covers: Vec<OpKind>,
    pub(super) operands: Vec<Operand>,
    /// Named sets of shapes, one shape per operand. The first is used with every layout.
    pub(super) shapes: Vec<(&'static str, Vec<Vec<usize>>)>,
    pub(super) dtypes: &'static [DType],
    pub(super) tolerance: Tolerance,
    pub(super) differentiable: bool,
    /// Whether small steps of an operand show in the result: not where it is rounded to another type.
    pub(super) smooth: bool,
    pub(super) body: Body,
}

/// The integer types.
pub(super) const INTS: &[DType] = &[DType::I64, DType::I32, DType::U32, DType::U8];
/// The integer types that have negative numbers.
pub(super) const SIGNED: &[DType] = &[DType::F64, DType::F32, DType::F16, DType::BF16, DType::I64, DType::I32];
/// Floats and integers.
pub(super) const NUMBERS: &[DType] =
    &[DType::F64, DType::F32, DType::F16, DType::BF16, DType::I64, DType::I32, DType::U32, DType::U8];

impl Case {
    /// A case of `name` that calls the operations `covers` with the shapes `usual` of operands with `values`.
    pub(super) fn new(
        name: &'static str,
        covers: &[OpKind],
        operands: &[(Values, &[usize])],
        body: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Self {
        Self::several(name, covers, operands, move |t| Ok(vec![body(t)?]))
    }

    /// As [`Case::new`], for an operation with several results.
    pub(super) fn several(
        name: &'static str,
        covers: &[OpKind],
        operands: &[(Values, &[usize])],
        body: impl Fn(&[Tensor]) -> Result<Vec<Tensor>> + Send + Sync + 'static,
    ) -> Self {
        let kind = |v: Values| v.fixed_dtype().map_or(Kind::Tested, Kind::Fixed);
        Case {
            name,
            covers: covers.to_vec(),
            operands: operands.iter().map(|&(values, _)| Operand { values, kind: kind(values) }).collect(),
            shapes: vec![("usual", operands.iter().map(|(_, s)| s.to_vec()).collect())],
            dtypes: &DType::FLOATS,
            tolerance: Tolerance::Rounded,
            differentiable: true,
            smooth: true,
            body: Box::new(body),
        }
    }

    /// With another set of shapes.
    pub(super) fn shaped(mut self, name: &'static str, shapes: &[&[usize]]) -> Self {
        assert_eq!(shapes.len(), self.operands.len(), "{}", self.name);
        self.shapes.push((name, shapes.iter().map(|s| s.to_vec()).collect()));
        self
    }

    /// For other element types than floats.
    pub(super) fn of(mut self, dtypes: &'static [DType]) -> Self {
        self.dtypes = dtypes;
        self
    }

    /// Compared with another tolerance.
    pub(super) fn within(mut self, tolerance: Tolerance) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// With gradients that no finite difference shows.
    pub(super) fn rounded(mut self) -> Self {
        self.smooth = false;
        self
    }

    /// Without gradients.
    pub(super) fn plain(mut self) -> Self {
        self.differentiable = false;
        self.covers.retain(|op| !op.name().ends_with("_backward"));
        self
    }

    /// The case's name: that of the operation, with the variant behind it.
    pub fn name(&self) -> &str {
        self.name
    }

    /// The methods of the contract that the case calls.
    pub fn covers(&self) -> &[OpKind] {
        &self.covers
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Case({})", self.name)
    }
}
