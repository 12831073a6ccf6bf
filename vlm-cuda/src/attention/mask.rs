//! Who sees whom, as the kernels take it: a flag for plain causal attention, else numbers added to the scores.

use crate::storage::{kind, operand};
use tch::{Device, Kind, TchError, Tensor};
use vlm_core::backend::{AttentionArgs, View};
use vlm_core::{DType, Layout};

/// What hides keys from queries.
pub(super) struct Hidden {
    /// Added to the scores: `[1 or b, 1 or h, 1 or s_q, s_kv]`.
    pub(super) bias: Option<Tensor>,
    /// Query `i` sees keys `0 ..= i`; as many queries as keys.
    pub(super) causal: bool,
}

fn number_type(dtype: DType) -> Kind {
    kind(dtype.accumulator())
}

/// 0 where a query sees a key, minus infinity elsewhere: `[1, 1, s_q, s_kv]`.
fn visible(args: &AttentionArgs<'_>, s_q: i64, s_kv: i64, device: Device) -> Result<Tensor, TchError> {
    let numbers = |n: i64| Tensor::f_arange(n, (Kind::Int64, device));
    // The last query is beside the last key.
    let row = numbers(s_q)?.f_add_scalar(s_kv - s_q)?.f_unsqueeze(1)?;
    let column = numbers(s_kv)?.f_unsqueeze(0)?;
    let mut hidden = if args.causal { column.f_gt_tensor(&row)? } else { column.f_gt_tensor(&row)?.f_zeros_like()? };
    if let Some(window) = args.window.filter(|_| args.causal) {
        let before = row.f_sub_scalar(i64::try_from(window).unwrap_or(i64::MAX / 2))?;
        hidden = hidden.f_logical_or(&column.f_le_tensor(&before)?)?;
    }
    if let Some(bounds) = &args.segments {
        let of_each: Vec<i64> =
            bounds.windows(2).enumerate().flat_map(|(i, w)| std::iter::repeat_n(i as i64, w[1] - w[0])).collect();
        let of_each = Tensor::f_from_slice(&of_each)?.f_to_device(device)?;
        hidden = hidden.f_logical_or(&of_each.f_unsqueeze(1)?.f_ne_tensor(&of_each.f_unsqueeze(0)?)?)?;
    }
    let zeros = Tensor::f_zeros([s_q, s_kv], (number_type(args.q.dtype()), device))?;
    zeros.f_masked_fill(&hidden, f64::NEG_INFINITY)?.f_view([1, 1, s_q, s_kv])
}

/// The mask with dimensions that only repeat taken once.
fn squashed(mask: &View<'_>) -> Layout {
    let once = |l: Layout, d: usize| if l.strides()[d] == 0 && l.shape()[d] > 1 { l.narrow(d, 0, 1) } else { l };
    (0..3).fold(*mask.layout, once)
}

/// All of it for the whole attention.
pub(super) fn bias(args: &AttentionArgs<'_>, device: Device) -> Result<Hidden, TchError> {
    let (s_q, s_kv) = (args.q.shape()[2] as i64, args.k.shape()[2] as i64);
    let plain = args.mask.is_none() && args.segments.is_none();
    let whole = args.causal && args.window.is_none_or(|w| w as i64 >= s_kv);
    if plain && (!args.causal || (whole && s_q == 1)) {
        return Ok(Hidden { bias: None, causal: false });
    }
    if plain && whole && s_q == s_kv {
        return Ok(Hidden { bias: None, causal: true });
    }
    let rules = args.segments.is_some() || (args.causal && !(whole && s_q == 1));
    let seen = if rules { Some(visible(args, s_q, s_kv, device)?) } else { None };
    let Some(mask) = &args.mask else { return Ok(Hidden { bias: seen, causal: false }) };
    let layout = squashed(mask);
    let once = View::new(mask.storage, &layout);
    let mask = operand(&once).map_err(|e| TchError::Torch(e.to_string()))?;
    let mask = mask.f_to_kind(number_type(args.q.dtype()))?;
    let bias = match seen {
        Some(seen) => mask.f_add(&seen)?,
        None => mask.f_contiguous()?,
    };
    Ok(Hidden { bias: Some(bias), causal: false })
}

/// The same within one segment, where there is no mask.
pub(super) fn of_segment(args: &AttentionArgs<'_>, len: i64, device: Device) -> Result<Hidden, TchError> {
    let whole = args.window.is_none_or(|w| w as i64 >= len);
    if !args.causal || whole {
        return Ok(Hidden { bias: None, causal: args.causal });
    }
    let alone = AttentionArgs { segments: None, mask: None, ..args.clone() };
    Ok(Hidden { bias: Some(visible(&alone, len, len, device)?), causal: false })
}
