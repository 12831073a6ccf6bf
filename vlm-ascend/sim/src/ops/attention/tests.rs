//! Attention against a plain reading of its formulas.

use super::*;
use crate::ops::testing::{Bench, assert_close, refusal};
use crate::plan::Planned;
use crate::types::DType;
use std::slice::from_ref;

/// Numbers that look like nothing in particular, within -1 and 1.
fn noise(seed: usize, count: usize) -> Vec<f64> {
    (0..count).map(|i| (((i + 17 * seed) * 7919 + seed * 104_729) % 2003) as f64 / 1001.0 - 1.0).collect()
}

/// Sizes of a problem.
#[derive(Clone, Copy)]
struct Sizes {
    b: usize,
    n: usize,
    n_kv: usize,
    sq: usize,
    skv: usize,
    d: usize,
}

const SIZES: Sizes = Sizes { b: 2, n: 4, n_kv: 2, sq: 3, skv: 5, d: 4 };
const SCALE: f64 = 0.7;

/// Output, largest scores and sums for operands as `[B, N, S, D]`, of a score and whether it is seen.
fn reference(
    s: Sizes,
    (q, k, v): (&[f64], &[f64], &[f64]),
    score: &dyn Fn(usize, usize, usize, usize, f64) -> Option<f64>,
) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let (mut out, mut most, mut sums) = (Vec::new(), Vec::new(), Vec::new());
    for b in 0..s.b {
        for n in 0..s.n {
            let kv = b * s.n_kv + n / (s.n / s.n_kv);
            for i in 0..s.sq {
                let q = &q[((b * s.n + n) * s.sq + i) * s.d..][..s.d];
                let row = |t: &'_ [f64], j: usize| t[(kv * s.skv + j) * s.d..][..s.d].to_vec();
                let scores: Vec<Option<f64>> =
                    (0..s.skv).map(|j| score(b, n, i, j, q.iter().zip(row(k, j)).map(|(a, b)| a * b).sum())).collect();
                let max = scores.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = scores.iter().flatten().map(|s| (s - max).exp()).sum();
                let mut o = vec![0.0; s.d];
                for (j, score) in scores.iter().enumerate() {
                    if let Some(score) = score {
                        o.iter_mut().zip(row(v, j)).for_each(|(o, v)| *o += (score - max).exp() / sum * v);
                    }
                }
                out.extend(o);
                most.push(max);
                sums.push(sum);
            }
        }
    }
    (out, most, sums)
}

/// `[B, N, S, D]` as `[B, S, N, D]`, or back with `n` and `s` exchanged.
fn exchange(values: &[f64], b: usize, n: usize, s: usize) -> Vec<f64> {
    let d = values.len() / (b * n * s);
    let mut out = Vec::with_capacity(values.len());
    for b in 0..b {
        for s_at in 0..s {
            for n_at in 0..n {
                out.extend_from_slice(&values[((b * n + n_at) * s + s_at) * d..][..d]);
            }
        }
    }
    out
}

/// Arguments of attention in training that differ between tests.
struct Args<'a> {
    shift: Option<&'a Tensor>,
    mask: Option<&'a Tensor>,
    tokens: (i64, i64),
    layout: &'a str,
    mode: i64,
}

const PLAIN: Args<'static> = Args { shift: None, mask: None, tokens: (65_536, 65_536), layout: "BNSD", mode: 0 };

fn forward(b: &Bench, qkv: [&Tensor; 3], a: &Args<'_>, outs: [&Tensor; 3], heads: usize) -> Planned {
    let ([q, k, v], [most, sums, out]) = (qkv, outs);
    let (pre, next) = a.tokens;
    FlashAttentionScore(
        &b.cx,
        q,
        k,
        v,
        a.shift,
        None,
        None,
        a.mask,
        None,
        SCALE,
        1.0,
        pre,
        next,
        heads as i64,
        a.layout,
        0,
        a.mode,
        most,
        sums,
        None,
        out,
    )
}

fn every_eighth(values: &[f64]) -> Vec<f64> {
    assert!(values.chunks(8).all(|c| c.iter().all(|v| *v == c[0])));
    values.iter().copied().step_by(8).collect()
}

#[test]
fn training_with_groups_shift_and_mask() {
    let mut b = Bench::new();
    let s = SIZES;
    let (q, k, v) =
        (noise(1, s.b * s.n * s.sq * s.d), noise(2, s.b * s.n_kv * s.skv * s.d), noise(3, s.b * s.n_kv * s.skv * s.d));
    let pse = noise(4, s.n * s.sq * s.skv);
    // The last query sees nothing, others not every third key.
    let hidden = |i: usize, j: usize| i + 1 == s.sq || (i + j).is_multiple_of(3);
    let mask: Vec<f64> = (0..s.sq * s.skv).map(|at| f64::from(u8::from(hidden(at / s.skv, at % s.skv)))).collect();
    let (out, most, sums) = reference(s, (&q, &k, &v), &|_, n, i, j, dot| {
        (!hidden(i, j)).then(|| SCALE * (dot + pse[(n * s.sq + i) * s.skv + j]))
    });
    let out: Vec<f64> =
        out.chunks(s.sq * s.d).flat_map(|h| [&h[..(s.sq - 1) * s.d], &vec![0.0; s.d]].concat()).collect();
    let tpse = b.tensor(DType::F32, &[1, s.n, s.sq, s.skv], &pse);
    let tmask = b.tensor(DType::Bool, &[s.sq, s.skv], &mask);
    let (tmost, tsums) = (b.empty(DType::F32, &[s.b, s.n, s.sq, 8]), b.empty(DType::F32, &[s.b, s.n, s.sq, 8]));
    for layout in ["BNSD", "BSND", "BSH"] {
        let plain = layout == "BNSD";
        let place = |b: &mut Bench, values: &[f64], n: usize, len: usize| {
            let values = if plain { values.to_vec() } else { exchange(values, s.b, n, len) };
            let dims = match layout {
                "BNSD" => vec![s.b, n, len, s.d],
                "BSND" => vec![s.b, len, n, s.d],
                _ => vec![s.b, len, n * s.d],
            };
            b.tensor(DType::F32, &dims, &values)
        };
        let (tq, tk) = (place(&mut b, &q, s.n, s.sq), place(&mut b, &k, s.n_kv, s.skv));
        let (tv, tout) = (place(&mut b, &v, s.n_kv, s.skv), place(&mut b, &q, s.n, s.sq));
        let args = Args { shift: Some(&tpse), mask: Some(&tmask), layout, ..PLAIN };
        let p = forward(&b, [&tq, &tk, &tv], &args, [&tmost, &tsums, &tout], s.n);
        b.run(p).unwrap();
        let found = b.values(&tout);
        let found = if plain { found } else { exchange(&found, s.b, s.sq, s.n) };
        assert_close(&found, &out, 1e-5);
        assert_close(&every_eighth(&b.values(&tmost)), &most, 1e-5);
        let seen: Vec<f64> = sums.clone();
        assert_close(&every_eighth(&b.values(&tsums)), &seen, 1e-5);
    }
}

#[test]
fn compressed_masks() {
    let mut b = Bench::new();
    let s = SIZES;
    let (q, k, v) =
        (noise(5, s.b * s.n * s.sq * s.d), noise(6, s.b * s.n_kv * s.skv * s.d), noise(7, s.b * s.n_kv * s.skv * s.d));
    let triangle: Vec<f64> = (0..2048 * 2048).map(|at| f64::from(u8::from(at % 2048 > at / 2048))).collect();
    let mask = b.tensor(DType::Bool, &[2048, 2048], &triangle);
    // The sequence before the batch.
    let sbh = |values: &[f64], n: usize, len: usize| {
        let bsnd = exchange(values, s.b, n, len);
        exchange(&bsnd, 1, s.b, len)
    };
    let tq = b.tensor(DType::F16, &[s.sq, s.b, s.n * s.d], &sbh(&q, s.n, s.sq));
    let tk = b.tensor(DType::F16, &[s.skv, s.b, s.n_kv * s.d], &sbh(&k, s.n_kv, s.skv));
    let tv = b.tensor(DType::F16, &[s.skv, s.b, s.n_kv * s.d], &sbh(&v, s.n_kv, s.skv));
    let tout = b.empty(DType::F16, &[s.sq, s.b, s.n * s.d]);
    let (tmost, tsums) = (b.empty(DType::F32, &[s.b, s.n, s.sq, 8]), b.empty(DType::F32, &[s.b, s.n, s.sq, 8]));
    type Sees = fn(i64, i64) -> bool;
    let cases: [(i64, Sees); 3] =
        [(2, |i, j| j <= i), (3, |i, j| j <= i + 2), (4, |i, j| (i + 1..=i + 3).contains(&j))];
    for (mode, sees) in cases {
        let (out, ..) = reference(s, (&q, &k, &v), &|_, _, i, j, dot| sees(i as i64, j as i64).then_some(SCALE * dot));
        let args = Args { mask: Some(&mask), mode, layout: "SBH", tokens: (1, 1), ..PLAIN };
        let p = forward(&b, [&tq, &tk, &tv], &args, [&tmost, &tsums, &tout], s.n);
        b.run(p).unwrap();
        let found = exchange(&exchange(&b.values(&tout), 1, s.sq, s.b), s.b, s.sq, s.n);
        assert_close(&found, &out, 3e-3);
    }
    // A mask of the wrong size is refused, one of the wrong kind found when it is used.
    let small = b.tensor(DType::Bool, &[s.sq, s.skv], &vec![0.0; s.sq * s.skv]);
    let args = Args { mask: Some(&small), mode: 3, layout: "SBH", ..PLAIN };
    assert_eq!(refusal(forward(&b, [&tq, &tk, &tv], &args, [&tmost, &tsums, &tout], s.n)), 161_002);
    let wrong = mask.with_view(vec![2048, 2048], vec![1, 2048], 0);
    let args = Args { mask: Some(&wrong), mode: 3, layout: "SBH", ..PLAIN };
    let p = forward(&b, [&tq, &tk, &tv], &args, [&tmost, &tsums, &tout], s.n);
    assert!(b.run(p).is_err());
    let args = Args { layout: "TND", ..PLAIN };
    assert_eq!(refusal(forward(&b, [&tq, &tk, &tv], &args, [&tmost, &tsums, &tout], s.n)), 161_002);
}

#[test]
fn gradient_agrees_with_differences() {
    let mut b = Bench::new();
    let s = Sizes { b: 1, n: 2, n_kv: 1, sq: 3, skv: 3, d: 2 };
    let (q, k, v) = (noise(8, 12), noise(9, 6), noise(10, 6));
    let (dy, pse) = (noise(11, 12), noise(12, 2 * 9));
    let hidden = |i: usize, j: usize| j > i;
    let loss = |q: &[f64], k: &[f64], v: &[f64]| -> f64 {
        let (out, ..) = reference(s, (q, k, v), &|_, n, i, j, dot| {
            (!hidden(i, j)).then(|| SCALE * (dot + pse[(n * 3 + i) * 3 + j]))
        });
        out.iter().zip(&dy).map(|(o, d)| o * d).sum()
    };
    let mut expected = Vec::new();
    for which in 0..3 {
        let len = [&q, &k, &v][which].len();
        let moved = |at: usize, h: f64| {
            let mut all = [q.clone(), k.clone(), v.clone()];
            all[which][at] += h;
            loss(&all[0], &all[1], &all[2])
        };
        expected.push((0..len).map(|at| (moved(at, 1e-5) - moved(at, -1e-5)) / 2e-5).collect::<Vec<_>>());
    }
    let mask: Vec<f64> = (0..9).map(|at| f64::from(u8::from(hidden(at / 3, at % 3)))).collect();
    let (tq, tk) = (b.tensor(DType::F32, &[1, 2, 3, 2], &q), b.tensor(DType::F32, &[1, 1, 3, 2], &k));
    let (tv, tdy) = (b.tensor(DType::F32, &[1, 1, 3, 2], &v), b.tensor(DType::F32, &[1, 2, 3, 2], &dy));
    let (tpse, tmask) = (b.tensor(DType::F32, &[1, 2, 3, 3], &pse), b.tensor(DType::U8, &[1, 1, 3, 3], &mask));
    let (most, sums) = (b.empty(DType::F32, &[1, 2, 3, 8]), b.empty(DType::F32, &[1, 2, 3, 8]));
    let (out, dq) = (b.empty(DType::F32, &[1, 2, 3, 2]), b.empty(DType::F32, &[1, 2, 3, 2]));
    let (dk, dv) = (b.empty(DType::F32, &[1, 1, 3, 2]), b.empty(DType::F32, &[1, 1, 3, 2]));
    let args = Args { shift: Some(&tpse), mask: Some(&tmask), ..PLAIN };
    let p = forward(&b, [&tq, &tk, &tv], &args, [&most, &sums, &out], 2);
    b.run(p).unwrap();
    // Log-sum-exp and ones in place of largest scores and sums.
    let logs: Vec<f64> = b.values(&most).iter().zip(b.values(&sums)).map(|(m, s)| m + s.ln()).collect();
    let (lse, ones) = (b.tensor(DType::F32, &[1, 2, 3, 8], &logs), b.tensor(DType::F32, &[1, 2, 3, 8], &[1.0; 48]));
    for (most, sums) in [(&most, Some(&sums)), (&lse, Some(&ones)), (&most, None)] {
        let p = FlashAttentionScoreGrad(
            &b.cx,
            &tq,
            &tk,
            &tv,
            &tdy,
            Some(&tpse),
            None,
            None,
            Some(&tmask),
            Some(most),
            sums,
            None,
            Some(&out),
            None,
            SCALE,
            1.0,
            65_536,
            65_536,
            2,
            "BNSD",
            0,
            0,
            &dq,
            &dk,
            &dv,
            None,
        );
        if sums.is_none() {
            assert_eq!(refusal(p), 161_001);
            continue;
        }
        b.run(p).unwrap();
        for (t, expected) in [&dq, &dk, &dv].into_iter().zip(&expected) {
            assert_close(&b.values(t), expected, 1e-4);
        }
    }
}

/// Arguments of attention in inference that differ between tests.
struct Infer<'a> {
    shift: Option<&'a Tensor>,
    mask: Option<&'a Tensor>,
    lengths: Option<&'a [i64]>,
    layout: &'a str,
    mode: i64,
    lse: Option<&'a Tensor>,
}

fn infer(b: &Bench, q: &Tensor, k: &[Tensor], v: &[Tensor], a: &Infer<'_>, s: Sizes, out: &Tensor) -> Planned {
    let no = None;
    FusedInferAttentionScoreV2(
        &b.cx,
        q,
        k,
        v,
        a.shift,
        a.mask,
        None,
        a.lengths,
        no,
        no,
        no,
        no,
        no,
        no,
        no,
        no,
        no,
        no,
        no,
        no,
        no,
        no,
        no,
        no,
        None,
        s.n as i64,
        SCALE,
        65_535,
        65_535,
        a.layout,
        s.n_kv as i64,
        a.mode,
        2,
        0,
        0,
        a.lse.is_some(),
        0,
        0,
        out,
        a.lse,
    )
}

#[test]
fn inference() {
    let mut b = Bench::new();
    let s = Sizes { d: 16, ..SIZES };
    let (q, k, v) =
        (noise(1, s.b * s.n * s.sq * s.d), noise(2, s.b * s.n_kv * s.skv * s.d), noise(3, s.b * s.n_kv * s.skv * s.d));
    let kv = |b: &mut Bench, values: &[f64]| {
        b.tensor(DType::F16, &[s.b, s.skv, s.n_kv, s.d], &exchange(values, s.b, s.n_kv, s.skv))
    };
    let tq = b.tensor(DType::F16, &[s.b, s.sq, s.n, s.d], &exchange(&q, s.b, s.n, s.sq));
    let (tk, tv) = (kv(&mut b, &k), kv(&mut b, &v));
    let tout = b.empty(DType::F16, &[s.b, s.sq, s.n, s.d]);
    // A causal mask as a shift that all heads share, as ggml passes it.
    let causal = |i: usize, j: usize| j > i + 2;
    let pse: Vec<f64> =
        (0..s.sq * s.skv).map(|at| if causal(at / s.skv, at % s.skv) { f64::NEG_INFINITY } else { 0.5 }).collect();
    let tpse = b.tensor(DType::F16, &[1, 1, s.sq, s.skv], &pse);
    let tpse = tpse.with_view(vec![1, s.n, s.sq, s.skv], vec![0, 0, s.skv, 1], 0);
    let lse = b.empty(DType::F32, &[s.b, s.n, s.sq, 1]);
    let (out, most, sums) = reference(s, (&q, &k, &v), &|_, _, i, j, dot| (!causal(i, j)).then_some(SCALE * dot + 0.5));
    let args = Infer { shift: Some(&tpse), mask: None, lengths: None, layout: "BSND", mode: 0, lse: Some(&lse) };
    let p = infer(&b, &tq, from_ref(&tk), from_ref(&tv), &args, s, &tout);
    b.run(p).unwrap();
    assert_close(&exchange(&b.values(&tout), s.b, s.sq, s.n), &out, 3e-3);
    let logs: Vec<f64> = most.iter().zip(&sums).map(|(m, s)| m + s.ln()).collect();
    assert_close(&b.values(&lse), &logs, 3e-3);
    // Lengths, a mask for each batch, and a tensor for each batch.
    let mask: Vec<f64> = (0..s.b * s.sq * s.skv).map(|at| f64::from(u8::from(at % 4 == 1))).collect();
    let tmask = b.tensor(DType::I8, &[s.b, s.sq, s.skv], &mask);
    let (out, ..) = reference(s, (&q, &k, &v), &|b, _, i, j, dot| {
        (j < [3, 5][b] && ((b * s.sq + i) * s.skv + j) % 4 != 1).then_some(SCALE * dot)
    });
    let of_batch =
        |t: &Tensor, b: usize| t.with_view([&[1], &t.dims[1..]].concat(), t.strides.clone(), b * t.strides[0]);
    let args = Infer { shift: None, mask: Some(&tmask), lengths: Some(&[3, 5]), lse: None, ..args };
    let (ks, vs) = ([of_batch(&tk, 0), of_batch(&tk, 1)], [of_batch(&tv, 0), of_batch(&tv, 1)]);
    let p = infer(&b, &tq, &ks, &vs, &args, s, &tout);
    b.run(p).unwrap();
    assert_close(&exchange(&b.values(&tout), s.b, s.sq, s.n), &out, 3e-3);

    let no_mask = Infer { mask: None, mode: 3, ..args };
    assert_eq!(refusal(infer(&b, &tq, from_ref(&tk), from_ref(&tv), &no_mask, s, &tout)), 161_002);
    let too_long = Infer { lengths: Some(&[6]), ..args };
    assert_eq!(refusal(infer(&b, &tq, from_ref(&tk), from_ref(&tv), &too_long, s, &tout)), 161_002);
    let floats = b.empty(DType::F32, &[s.b, s.sq, s.n, s.d]);
    assert_eq!(refusal(infer(&b, &floats, &[tk], &[tv], &args, s, &floats)), 161_002);
}
