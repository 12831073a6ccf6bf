//! Functions of one element or of several at the same place.

use crate::DType;
use crate::backend::{OpKind, RandomKey};
use crate::conformance::case::{Case, INTS, NUMBERS, SIGNED};
use crate::conformance::operand::Values::{self, Distinct, Normal, Positive, Ties, Truth};
use crate::conformance::tolerance::Tolerance::Exact;
use crate::{Result, Tensor};

const BOOL: &[DType] = &[DType::Bool];
const ONE: &[usize] = &[3, 4, 5];

/// All ranks, no elements, one element, and enough for every vector width, block and thread.
fn one_operand(case: Case) -> Case {
    case.shaped("rank0", &[&[]])
        .shaped("rank1", &[&[37]])
        .shaped("rank2", &[&[5, 7]])
        .shaped("rank4", &[&[2, 1, 3, 5]])
        .shaped("rank5", &[&[2, 2, 1, 3, 4]])
        .shaped("rank6", &[&[2, 1, 2, 3, 1, 4]])
        .shaped("empty", &[&[3, 0, 2]])
        .shaped("one", &[&[1, 1, 1]])
        .shaped("large", &[&[7, 61, 83]])
}

fn pair(case: Case) -> Case {
    case.shaped("rank0", &[&[], &[]])
        .shaped("rank1", &[&[37], &[37]])
        .shaped("scalar", &[&[5, 7], &[]])
        .shaped("rows", &[&[4, 1], &[3]])
        .shaped("rank5", &[&[2, 1, 2, 3, 4], &[2, 1, 1, 4]])
        .shaped("rank6", &[&[2, 1, 2, 3, 1, 4], &[3, 1, 3, 2, 1]])
        .shaped("empty", &[&[3, 0, 2], &[1, 2]])
        .shaped("large", &[&[7, 61, 83], &[61, 83]])
}

fn unary(name: &'static str, values: Values, f: fn(&Tensor) -> Result<Tensor>) -> Case {
    one_operand(Case::new(name, &[OpKind::Unary, OpKind::UnaryBackward], &[(values, ONE)], move |t| f(&t[0])))
}

fn binary(name: &'static str, right: Values, f: fn(&Tensor, &Tensor) -> Result<Tensor>) -> Case {
    let values = if right == Positive { Positive } else { Normal };
    pair(Case::new(name, &[OpKind::Binary], &[(values, ONE), (right, ONE)], move |t| f(&t[0], &t[1])))
}

fn compare(name: &'static str, f: fn(&Tensor, &Tensor) -> Result<Tensor>) -> Case {
    let case = Case::new(name, &[OpKind::Compare], &[(Ties, ONE), (Ties, ONE)], move |t| f(&t[0], &t[1]));
    pair(case).of(&DType::ALL).plain()
}

macro_rules! unaries { ($($method:ident $values:ident),* $(,)?) => { vec![$(unary(stringify!($method), $values, Tensor::$method)),*] }; }

pub(super) fn cases() -> Vec<Case> {
    let mut all = unaries![
        exp Normal, log Positive, log1p Positive, expm1 Normal, sqrt Positive, rsqrt Positive, reciprocal Positive,
        sin Normal, cos Normal, tanh Normal, sigmoid Normal, erf Normal, gelu Normal, gelu_tanh Normal, quick_gelu Normal,
        silu Normal, softplus Normal,
    ];
    all.extend([
        unary("relu", Normal, Tensor::relu).within(Exact),
        unary("sign", Normal, Tensor::sign).within(Exact),
        unary("floor", Normal, Tensor::floor).within(Exact),
        unary("ceil", Normal, Tensor::ceil).within(Exact),
        unary("round", Normal, Tensor::round).within(Exact),
        unary("neg", Normal, Tensor::neg).within(Exact).of(SIGNED),
        unary("abs", Normal, Tensor::abs).within(Exact).of(SIGNED),
        unary("square", Normal, Tensor::square).of(NUMBERS),
        unary("affine", Normal, |x| x.affine(3.0, 2.0)).of(NUMBERS),
        unary("affine_fraction", Normal, |x| x.affine(-1.5, 0.25)),
        unary("powf", Positive, |x| x.powf(2.5)),
        unary("powf_square", Normal, |x| x.powf(2.0)),
        unary("clamp", Normal, |x| x.clamp(-0.5, 2.0)).within(Exact),
        unary("logical_not", Truth, Tensor::logical_not).within(Exact).of(BOOL).plain(),
        one_operand(Case::new("dropout", &[OpKind::Dropout], &[(Normal, ONE)], |t| {
            t[0].dropout(0.3, RandomKey { seed: 9, stream: 1 })
        })),
        binary("add", Normal, Tensor::add).of(NUMBERS),
        binary("sub", Normal, Tensor::sub).of(NUMBERS),
        binary("mul", Normal, Tensor::mul).of(NUMBERS),
        binary("div", Positive, Tensor::div),
        binary("pow", Positive, Tensor::pow),
        binary("maximum", Normal, Tensor::maximum).of(NUMBERS).within(Exact),
        binary("minimum", Normal, Tensor::minimum).of(NUMBERS).within(Exact),
        binary("floor_divide_integers", Positive, Tensor::floor_divide).of(INTS).plain(),
        binary("remainder_integers", Positive, Tensor::remainder).of(INTS).plain(),
        binary("floor_divide", Positive, Tensor::floor_divide).plain().of(&[DType::F64, DType::F32]),
        binary("remainder", Positive, Tensor::remainder).of(&[DType::F64, DType::F32]),
        binary("logical_and", Truth, Tensor::logical_and).of(BOOL).plain(),
        binary("logical_or", Truth, Tensor::logical_or).of(BOOL).plain(),
        binary("logical_xor", Truth, Tensor::logical_xor).of(BOOL).plain(),
        compare("eq", Tensor::eq),
        compare("ne", Tensor::ne),
        compare("lt", Tensor::lt),
        compare("le", Tensor::le),
        compare("gt", Tensor::gt),
        compare("ge", Tensor::ge),
        Case::new("where_cond", &[OpKind::Select], &[(Truth, ONE), (Normal, ONE), (Normal, ONE)], |t| {
            t[1].where_cond(&t[0], &t[2])
        })
        .shaped("broadcast", &[&[3, 1], &[4], &[]])
        .shaped("empty", &[&[3, 0], &[3, 0], &[1]])
        .shaped("large", &[&[61, 83], &[7, 61, 83], &[83]])
        .of(&DType::ALL)
        .within(Exact),
        Case::new("masked_fill", &[OpKind::Select], &[(Truth, ONE), (Normal, ONE)], |t| t[1].masked_fill(&t[0], 3.0))
            .of(NUMBERS)
            .within(Exact),
        Case::new("glu_silu", &[OpKind::Glu, OpKind::GluBackward], &[(Normal, ONE), (Normal, ONE)], |t| {
            t[0].swiglu(&t[1])
        })
        .shaped("empty", &[&[0, 3], &[0, 3]])
        .shaped("large", &[&[7, 61, 83], &[7, 61, 83]]),
        Case::new("glu_gelu", &[OpKind::Glu, OpKind::GluBackward], &[(Normal, ONE), (Normal, ONE)], |t| {
            t[0].geglu(&t[1])
        }),
    ]);
    let casts: [(&'static str, DType); 9] = [
        ("cast_f64", DType::F64),
        ("cast_f32", DType::F32),
        ("cast_f16", DType::F16),
        ("cast_bf16", DType::BF16),
        ("cast_i64", DType::I64),
        ("cast_i32", DType::I32),
        ("cast_u32", DType::U32),
        ("cast_u8", DType::U8),
        ("cast_bool", DType::Bool),
    ];
    all.extend(casts.map(|(name, to)| {
        // A fraction to a whole number, distinct numbers to every type.
        let values = if to.is_float() { Normal } else { Distinct };
        let case = one_operand(Case::new(name, &[OpKind::Cast], &[(values, ONE)], move |t| t[0].to_dtype(to)));
        let case = case.of(&DType::ALL).within(Exact);
        if to == DType::F64 {
            case
        } else if to.is_float() {
            case.rounded()
        } else {
            case.plain()
        }
    }));
    all
}
