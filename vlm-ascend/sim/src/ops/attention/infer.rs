//! The attention of inference.

// Operations have the names of the interface, and as many arguments.
#![allow(non_snake_case, clippy::too_many_arguments)]

use super::mask::Mask;
use super::scores::{Scores, Seen, softmax};
use super::{Layout, head, head_count};
use crate::ops::product::{Matrix, multiply};
use crate::plan::{Cx, Planned, Refusal, invalid, null, of_shape, of_types, plan, same_type};
use crate::types::{DType, Tensor};

/// The length of each batch's sequence: one number for all, or one for each.
fn lengths(what: &str, said: Option<&[i64]>, whole: &[usize]) -> Result<Vec<usize>, Refusal> {
    let wrong = || invalid(format!("{what} is {:?}, expected 1 or {} lengths within {whole:?}", said, whole.len()));
    let said = match said {
        None | Some([]) => return Ok(whole.to_vec()),
        Some([one]) => vec![*one; whole.len()],
        Some(all) if all.len() >= whole.len() => all[..whole.len()].to_vec(),
        Some(_) => return Err(wrong()),
    };
    let fits = |(&s, &whole): (&i64, &usize)| usize::try_from(s).ok().filter(|&s| s <= whole).ok_or_else(wrong);
    said.iter().zip(whole).map(fits).collect()
}

/// A mask as `[B, N, Sq, Skv]`; it may be larger than the sequences.
fn full_mask(t: &Tensor, batch: usize, queries: usize, keys: usize) -> Result<Tensor, Refusal> {
    let misfit =
        || invalid(format!("attenMask has shape {:?} for {batch} times {queries} queries and {keys} keys", t.dims));
    let (d, s) = (&t.dims, &t.strides);
    let (b, b_stride, q, q_stride) = match d.len() {
        2 if queries == 1 => (d[0], s[0], 1, 0),
        2 => (1, 0, d[0], s[0]),
        3 => (d[0], s[0], d[1], s[1]),
        4 if d[1] == 1 => (d[0], s[0], d[2], s[2]),
        _ => return Err(misfit()),
    };
    let last = d.len() - 1;
    if (b != 1 && b != batch) || q < queries || d[last] < keys {
        return Err(misfit());
    }
    let b_stride = if b == 1 { 0 } else { b_stride };
    Ok(t.with_view(vec![batch, 1, q, d[last]], vec![b_stride, 0, q_stride, s[last]], t.offset))
}

/// `softmax(mask(query key^T * scale + pseShift)) value`, with zeros for queries that see no key. Quantised operands, paged
/// keys and values, shared prefixes and padding on the left are not simulated.
pub(crate) fn FusedInferAttentionScoreV2(
    cx: &Cx,
    query: &Tensor,
    key: &[Tensor],
    value: &[Tensor],
    pse_shift: Option<&Tensor>,
    atten_mask: Option<&Tensor>,
    actual_seq_lengths: Option<&[i64]>,
    actual_seq_lengths_kv: Option<&[i64]>,
    deq_scale1: Option<&Tensor>,
    quant_scale1: Option<&Tensor>,
    deq_scale2: Option<&Tensor>,
    quant_scale2: Option<&Tensor>,
    quant_offset2: Option<&Tensor>,
    antiquant_scale: Option<&Tensor>,
    antiquant_offset: Option<&Tensor>,
    block_table: Option<&Tensor>,
    query_padding_size: Option<&Tensor>,
    kv_padding_size: Option<&Tensor>,
    key_antiquant_scale: Option<&Tensor>,
    key_antiquant_offset: Option<&Tensor>,
    value_antiquant_scale: Option<&Tensor>,
    value_antiquant_offset: Option<&Tensor>,
    key_shared_prefix: Option<&Tensor>,
    value_shared_prefix: Option<&Tensor>,
    _actual_shared_prefix_len: Option<&[i64]>,
    num_heads: i64,
    scale_value: f64,
    pre_tokens: i64,
    next_tokens: i64,
    input_layout: &str,
    num_key_value_heads: i64,
    sparse_mode: i64,
    inner_precise: i64,
    _block_size: i64,
    _antiquant_mode: i64,
    softmax_lse_flag: bool,
    _key_antiquant_mode: i64,
    _value_antiquant_mode: i64,
    attention_out: &Tensor,
    softmax_lse: Option<&Tensor>,
) -> Planned {
    let unfinished = [
        ("quantised operands", [deq_scale1, quant_scale1, deq_scale2, quant_scale2, quant_offset2]),
        ("quantised keys", [antiquant_scale, antiquant_offset, key_antiquant_scale, key_antiquant_offset, None]),
        ("quantised values", [value_antiquant_scale, value_antiquant_offset, None, None, None]),
        ("paging and padding", [block_table, query_padding_size, kv_padding_size, None, None]),
        ("shared prefixes", [key_shared_prefix, value_shared_prefix, None, None, None]),
    ];
    for (what, given) in unfinished {
        if given.iter().any(Option::is_some) {
            return Err(invalid(format!("{what} are not simulated")));
        }
    }
    of_types(cx, "query", query, &[DType::F16, DType::BF16])?;
    same_type("query and attentionOut", query, attention_out)?;
    if !(0..=3).contains(&inner_precise) {
        return Err(invalid(format!("innerPrecise {inner_precise}, expected 0 to 3")));
    }
    let (layout, out_layout) = match input_layout {
        "BNSD_BSND" => (Layout::Bnsd, Layout::Bsnd),
        "SBH" => return Err(invalid("inputLayout SBH is not one that this operation has")),
        name => (Layout::named(name)?, Layout::named(name)?),
    };
    let heads = head_count(num_heads)?;
    let kv_heads = if num_key_value_heads == 0 { heads } else { head_count(num_key_value_heads)? };
    if heads % kv_heads != 0 || heads / kv_heads > 64 {
        return Err(invalid(format!("{heads} heads of the query and {kv_heads} of the key")));
    }
    let q = layout.heads("query", query, heads)?;
    let (batch, queries, width) = (q.dims[0], q.dims[2], q.dims[3]);
    if width > 512 || (queries > 1 && width % 16 != 0) {
        return Err(invalid(format!("heads are {width} wide, expected a multiple of 16 up to 512")));
    }
    if out_layout != layout && queries == 1 {
        return Err(invalid("inputLayout BNSD_BSND is for more than one query"));
    }
    if key.len() != value.len() || (key.len() != 1 && key.len() != batch) {
        return Err(invalid(format!("{} keys and {} values for {batch} batches", key.len(), value.len())));
    }
    let (one, mut pairs) = (key.len() == 1, Vec::with_capacity(key.len()));
    for (key, value) in key.iter().zip(value) {
        same_type("query and key", query, key)?;
        same_type("query and value", query, value)?;
        of_shape("value", value, &key.dims)?;
        let (k, v) = (layout.heads("key", key, kv_heads)?, layout.heads("value", value, kv_heads)?);
        // A list has one tensor for all batches, or one for each.
        of_shape("key", &k, &[if one { batch } else { 1 }, kv_heads, k.dims[2], width])?;
        pairs.push((k, v));
    }
    let whole: Vec<usize> = (0..batch).map(|b| pairs[if one { 0 } else { b }].0.dims[2]).collect();
    let most = whole.iter().copied().max().unwrap_or(0);
    let kv_lengths = lengths("actualSeqLengthsKv", actual_seq_lengths_kv, &whole)?;
    let said = if queries == 1 { None } else { actual_seq_lengths };
    let q_lengths = lengths("actualSeqLengths", said, &vec![queries; batch])?;
    let out = out_layout.heads("attentionOut", attention_out, heads)?;
    of_shape("attentionOut", &out, &q.dims)?;
    let shift = match pse_shift {
        Some(t) => {
            same_type("query and pseShift", query, t)?;
            let fits =
                matches!(t.dims[..], [b, n, s, k] if (b == 1 || b == batch) && n == heads && s >= queries && k >= most);
            if !fits {
                return Err(invalid(format!("pseShift has shape {:?} for {queries} queries and {most} keys", t.dims)));
            }
            t.broadcast(&[batch, heads, t.dims[2], t.dims[3]])
        }
        None => None,
    };
    // With one query the modes have no effect: the mask counts as it is.
    let mode = if queries == 1 { 1 } else { sparse_mode };
    let mask = match atten_mask {
        Some(t) => {
            of_types(cx, "attenMask", t, &[DType::Bool, DType::I8, DType::U8])?;
            Mask::new(t, mode, pre_tokens, next_tokens, |t| full_mask(t, batch, queries, most))?
        }
        None if queries == 1 || sparse_mode == 0 => Mask::default(),
        None => return Err(invalid(format!("sparseMode {sparse_mode} without attenMask"))),
    };
    let lse = match softmax_lse {
        _ if !softmax_lse_flag => None,
        None => return Err(null("softmaxLse")),
        Some(t) => {
            of_types(cx, "softmaxLse", t, &[DType::F32])?;
            of_shape("softmaxLse", t, &[batch, heads, queries, 1])?;
            Some(t.clone())
        }
    };
    let scores = Scores { scale: scale_value as f32, shift, shift_first: false, mask };
    let group = heads / kv_heads;
    plan(move |run| {
        scores.mask.check(run)?;
        let mut seen = Seen::default();
        for b in 0..batch {
            let ((k, v), at) = if one { (&pairs[0], b) } else { (&pairs[b], 0) };
            let (rows, keys) = (q_lengths[b], kv_lengths[b]);
            for kv in 0..kv_heads {
                let keys_here = run.f32s(&head(k, at, kv, keys, width))?;
                let values = run.f32s(&head(v, at, kv, keys, width))?;
                for n in kv * group..(kv + 1) * group {
                    let q_here = run.f32s(&head(&q, b, n, rows, width))?;
                    let (mq, mk) = (Matrix::new(&q_here, rows, width), Matrix::new(&keys_here, keys, width));
                    let mut p = scores.of(run, &mut seen, (b, n), mq, mk)?;
                    let (most, sums) = softmax(&mut p, rows);
                    // Rows behind the sequence stay zeros.
                    let mut o = vec![0.0; queries * width];
                    let product = &mut o[..rows * width];
                    multiply(Matrix::new(&p, rows, keys), Matrix::new(&values, keys, width), product, false);
                    run.put_f32(&head(&out, b, n, queries, width), &o)?;
                    if let Some(t) = &lse {
                        let mut of_rows: Vec<f32> = most.iter().zip(&sums).map(|(m, s)| m + s.ln()).collect();
                        of_rows.resize(queries, f32::NEG_INFINITY);
                        run.put_f32(&head(t, b, n, queries, 1), &of_rows)?;
                    }
                }
            }
        }
        Ok(())
    })
}
