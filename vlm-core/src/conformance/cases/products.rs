//! Matrix products.

use crate::DType;
use crate::backend::OpKind;
use crate::conformance::case::Case;
use crate::conformance::operand::Values::{Bytes, Normal, Single};
use crate::conformance::tolerance::Tolerance::{Accumulated, Composite};

const SUMMED: &[DType] = &[DType::F64, DType::F32, DType::F16, DType::BF16, DType::I64, DType::I32];

pub(super) fn cases() -> Vec<Case> {
    let matmul = |name, a: &[usize], b: &[usize]| {
        Case::new(name, &[OpKind::Matmul], &[(Normal, a), (Normal, b)], |t| t[0].matmul(&t[1])).within(Accumulated)
    };
    let bits = |name, bits: u32, bytes: &'static [usize]| {
        let operands: [(_, &[usize]); 4] = [(Normal, &[3, 32]), (Bytes, bytes), (Single, &[6, 2]), (Normal, &[6])];
        Case::new(name, &[OpKind::QuantizedLinear], &operands, move |t| {
            t[0].quantized_linear(&t[1], &t[2], Some(&t[3]), bits, t[0].shape()[1] / 2)
        })
        .within(Composite)
    };
    vec![
        matmul("matmul", &[7, 5], &[5, 6])
            .shaped("row", &[&[1, 40], &[40, 33]])
            .shaped("column", &[&[33, 40], &[40, 1]])
            .shaped("inner1", &[&[4, 1], &[1, 3]])
            .shaped("inner0", &[&[4, 0], &[0, 3]])
            .shaped("empty", &[&[0, 3], &[3, 2]])
            .shaped("blocks", &[&[70, 65], &[65, 97]])
            .shaped("large", &[&[129, 300], &[300, 161]])
            .of(SUMMED),
        matmul("matmul_batched", &[2, 3, 5], &[2, 5, 4])
            .shaped("broadcast", &[&[3, 1, 7, 5], &[2, 5, 4]])
            .shaped("vectors", &[&[5], &[5]])
            .shaped("matrix_vector", &[&[2, 4, 5], &[5]])
            .shaped("large", &[&[3, 40, 64], &[3, 64, 72]]),
        Case::new("linear", &[OpKind::Linear], &[(Normal, &[2, 3, 8]), (Normal, &[5, 8]), (Normal, &[5])], |t| {
            t[0].linear(&t[1], Some(&t[2]))
        })
        .shaped("row", &[&[1, 64], &[100, 64], &[100]])
        .shaped("empty", &[&[0, 8], &[5, 8], &[5]])
        .shaped("large", &[&[5, 30, 200], &[170, 200], &[170]])
        .within(Accumulated),
        Case::new("linear_plain", &[OpKind::Linear], &[(Normal, &[3, 8]), (Normal, &[5, 8])], |t| {
            t[0].linear(&t[1], None)
        })
        .shaped("row", &[&[1, 300], &[129, 300]])
        .within(Accumulated),
        bits("quantized_linear_8", 8, &[6, 32]).shaped("large", &[&[5, 256], &[40, 256], &[40, 2], &[40]]),
        bits("quantized_linear_4", 4, &[6, 16]).shaped("large", &[&[5, 256], &[40, 128], &[40, 2], &[40]]),
    ]
}
