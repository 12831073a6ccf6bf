//! Rotary position embedding.

// Operations have the names of the interface.
#![allow(non_snake_case)]

use super::norm::tiling;
use crate::plan::{Cx, Planned, Refusal, contiguous, invalid, of_shape, of_types, plan, same_type};
use crate::types::{FLOATS, Tensor};

/// Whether the kernel takes tables whose first three dimensions are `table` for an `x` of `dims`.
fn fits(dims: &[usize], table: &[usize], interleaved: bool) -> bool {
    if dims.iter().zip(table).any(|(&d, &t)| t != d && t != 1) {
        return false;
    }
    // A dimension counts as broadcast where the table has fewer elements in it.
    let broadcast: Vec<bool> = dims.iter().zip(table).map(|(d, t)| d != t).collect();
    if interleaved {
        // One dimension, that of the positions, may differ from 1.
        let own = table.iter().filter(|&&t| t != 1).count();
        let others: usize = dims.iter().zip(table).filter(|&(_, &t)| t == 1).map(|(d, _)| d).product();
        return own <= 1 && others < 1000;
    }
    // All but (1, S, N, D) of the batch's own tables.
    broadcast != [true, false, false] || table[1] == 1 || table[2] == 1
}

pub(crate) fn RotaryPositionEmbedding(
    cx: &Cx,
    x: &Tensor,
    cos: &Tensor,
    sin: &Tensor,
    mode: i64,
    out: &Tensor,
) -> Planned {
    of_types(cx, "x", x, FLOATS)?;
    for (what, t) in [("x and cos", cos), ("x and sin", sin), ("x and out", out)] {
        same_type(what, x, t)?;
    }
    contiguous("out", out)?;
    shapes(x, cos, sin, mode, out).map_err(tiling)?;
    let table = |t: &Tensor| t.broadcast(&x.dims).ok_or_else(|| invalid("the tables do not broadcast to x"));
    let (cos, sin) = (table(cos)?, table(sin)?);
    let (x, out) = (x.clone(), out.clone());
    let width = x.dims.last().copied().unwrap_or(1).max(1);
    // Of each pair: from one element to the next, and from one pair to the next.
    let (apart, step) = if mode == 0 { (width / 2, 1) } else { (1, 2) };
    plan(move |run| {
        let mut values = run.f32s(&x)?;
        let (cos, sin) = (run.f32s(&cos)?, run.f32s(&sin)?);
        let rows = values.chunks_exact_mut(width);
        for (row, (cos, sin)) in rows.zip(cos.chunks_exact(width).zip(sin.chunks_exact(width))) {
            for pair in 0..width / 2 {
                let (i, j) = (pair * step, pair * step + apart);
                let (a, b) = (f64::from(row[i]), f64::from(row[j]));
                row[i] = (a * f64::from(cos[i]) - b * f64::from(sin[i])) as f32;
                row[j] = (b * f64::from(cos[j]) + a * f64::from(sin[j])) as f32;
            }
        }
        run.put_f32(&out, &values)
    })
}

fn shapes(x: &Tensor, cos: &Tensor, sin: &Tensor, mode: i64, out: &Tensor) -> Result<(), Refusal> {
    if !(0..=1).contains(&mode) {
        return Err(invalid(format!("mode {mode} is neither 0 (halves) nor 1 (interleaved)")));
    }
    of_shape("out", out, &x.dims)?;
    if x.is_empty() {
        return Ok(());
    }
    of_shape("sin", sin, &cos.dims)?;
    let (&[_, _, _, width], &[_, _, _, table]) = (&x.dims[..], &cos.dims[..]) else {
        return Err(invalid(format!("x and cos have shapes {:?} and {:?}, expected 4 dimensions", x.dims, cos.dims)));
    };
    if width != table || width % 2 != 0 || width >= 896 {
        return Err(invalid(format!("x and cos are {width} and {table} wide, expected one even number below 896")));
    }
    if !fits(&x.dims[..3], &cos.dims[..3], mode == 1) {
        return Err(invalid(format!(
            "cos of shape {:?} does not fit x of shape {:?} in mode {mode}",
            cos.dims, x.dims
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{Bench, assert_close, refusal};
    use crate::types::DType;

    #[test]
    fn turns_pairs() {
        let mut b = Bench::new();
        let x = b.tensor(DType::F32, &[1, 2, 1, 4], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        // A quarter turn of the first pair, none of the second; then no turn at all.
        let cos = b.tensor(DType::F32, &[1, 2, 1, 4], &[0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        let sin = b.tensor(DType::F32, &[1, 2, 1, 4], &[1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let out = b.empty(DType::F32, &[1, 2, 1, 4]);
        let p = RotaryPositionEmbedding(&b.cx, &x, &cos, &sin, 0, &out);
        b.run(p).unwrap();
        assert_close(&b.values(&out), &[-3.0, 2.0, 1.0, 4.0, 5.0, 6.0, 7.0, 8.0], 0.0);
        let cos = b.tensor(DType::F32, &[1, 1, 1, 4], &[0.0, 0.0, 1.0, 1.0]);
        let sin = b.tensor(DType::F32, &[1, 1, 1, 4], &[1.0, 1.0, 0.0, 0.0]);
        let p = RotaryPositionEmbedding(&b.cx, &x, &cos, &sin, 1, &out);
        b.run(p).unwrap();
        assert_close(&b.values(&out), &[-2.0, 1.0, 3.0, 4.0, -6.0, 5.0, 7.0, 8.0], 0.0);
        assert_eq!(refusal(RotaryPositionEmbedding(&b.cx, &x, &cos, &sin, 2, &out)), 561_002);
        let half = b.empty(DType::F16, &[1, 1, 1, 4]);
        assert_eq!(refusal(RotaryPositionEmbedding(&b.cx, &x, &half, &sin, 1, &out)), 161_002);
    }

    #[test]
    fn takes_the_tables_that_are_documented() {
        // x as (B, S, N, D).
        assert!(fits(&[2, 3, 4], &[1, 3, 1], true));
        assert!(!fits(&[2, 3, 4], &[2, 3, 1], true));
        assert!(!fits(&[50, 3, 40], &[1, 3, 1], true));
        for table in [[1, 3, 1], [2, 3, 1], [2, 3, 4], [2, 1, 1], [1, 1, 4], [1, 1, 1], [2, 1, 4]] {
            assert!(fits(&[2, 3, 4], &table, false), "{table:?}");
        }
        assert!(!fits(&[2, 3, 4], &[1, 3, 4], false));
        assert!(!fits(&[2, 3, 4], &[2, 3, 2], false));
    }
}
