//! All cases, by topic.

mod attention;
mod elementwise;
mod fused;
mod indexing;
mod products;
mod reductions;
mod shapes;

use super::case::Case;

/// Every case of the suite.
pub fn all() -> Vec<Case> {
    let mut all = elementwise::cases();
    all.extend(shapes::cases());
    all.extend(reductions::cases());
    all.extend(indexing::cases());
    all.extend(products::cases());
    all.extend(fused::cases());
    all.extend(attention::cases());
    all
}

#[cfg(test)]
mod tests {
    use crate::backend::OpKind;
    use std::collections::BTreeSet;

    #[test]
    fn every_operation_of_the_contract_has_a_case_or_a_check() {
        let mut covered: BTreeSet<OpKind> = super::all().iter().flat_map(|c| c.covers().to_vec()).collect();
        covered.extend(super::super::contract::COVERS);
        covered.extend(super::super::optimizer::COVERS);
        let missing: Vec<_> = OpKind::ALL.iter().filter(|op| !covered.contains(op)).collect();
        assert!(missing.is_empty(), "no case for {missing:?}");
    }

    /// A case that never calls what it says it covers would let an operation go unchecked.
    #[test]
    fn cases_call_what_they_cover() {
        use crate::backend::layers::{Count, Layered};
        use crate::conformance::{forward, gradient, operand::Layout};
        use std::sync::Arc;
        let count = Arc::new(Count::default());
        let device = crate::Device::reference().with_kernels(|inner| Arc::new(Layered::new(inner, count.clone())));
        for case in super::all() {
            count.reset();
            let shapes = &case.shapes[0].1;
            for &dtype in case.dtypes {
                forward::check(&case, shapes, dtype, Layout::Transposed, &device).unwrap();
            }
            if let Some(&float) = case.dtypes.iter().find(|d| d.is_float()).filter(|_| case.differentiable) {
                gradient::check(&case, shapes, float, Layout::Transposed, &device).unwrap();
            }
            let missing: Vec<_> = case.covers.iter().filter(|op| count.calls(**op) == 0).collect();
            assert!(missing.is_empty(), "{} does not call {missing:?}", case.name());
        }
    }

    #[test]
    fn names_are_unique() {
        let mut seen = BTreeSet::new();
        super::all().iter().for_each(|c| assert!(seen.insert(c.name().to_owned()), "{} twice", c.name()));
    }
}
