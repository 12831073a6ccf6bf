//! Attention in all its forms.

use crate::backend::OpKind;
use crate::conformance::case::Case;
use crate::conformance::operand::Values::{Normal, Truth};
use crate::conformance::tolerance::Tolerance::Composite;
use crate::tensor::AttentionOptions;
use std::sync::Arc;

const OPS: &[OpKind] = &[OpKind::Attention, OpKind::AttentionBackward];

/// `h` query heads, `h_kv` key heads, lengths, channels of keys and of values.
fn shapes(h: usize, h_kv: usize, s_q: usize, s_kv: usize) -> [Vec<usize>; 3] {
    [vec![2, h, s_q, 8], vec![2, h_kv, s_kv, 8], vec![2, h_kv, s_kv, 6]]
}

fn case(name: &'static str, usual: [Vec<usize>; 3], large: Option<[Vec<usize>; 3]>, options: AttentionOptions) -> Case {
    let [q, k, v] = &usual;
    let case = Case::new(name, OPS, &[(Normal, q), (Normal, k), (Normal, v)], move |t| {
        t[0].scaled_dot_product_attention(&t[1], &t[2], &options)
    });
    let case = match &large {
        Some([q, k, v]) => case.shaped("large", &[q, k, v]),
        None => case,
    };
    case.within(Composite)
}

pub(super) fn cases() -> Vec<Case> {
    let causal = || AttentionOptions { causal: true, ..AttentionOptions::default() };
    let segments: Arc<[usize]> = Arc::from([0, 2, 2, 5]);
    vec![
        case("attention", shapes(2, 2, 5, 7), Some(shapes(2, 2, 70, 300)), AttentionOptions::default()),
        case("attention_causal", shapes(4, 2, 5, 5), Some(shapes(4, 2, 130, 130)), causal()),
        case("attention_decode", shapes(4, 2, 1, 9), Some(shapes(4, 1, 1, 290)), causal()),
        // More queries than keys: the first ones see nothing.
        case("attention_unseen", shapes(2, 1, 6, 3), None, causal()),
        case(
            "attention_window",
            shapes(2, 2, 6, 6),
            Some(shapes(2, 2, 90, 90)),
            AttentionOptions { window: Some(3), ..causal() },
        ),
        case(
            "attention_segments",
            shapes(2, 2, 5, 5),
            None,
            AttentionOptions { segments: Some(segments.clone()), ..AttentionOptions::default() },
        ),
        case(
            "attention_segments_causal",
            shapes(2, 1, 5, 5),
            None,
            AttentionOptions { segments: Some(segments), ..causal() },
        ),
        case(
            "attention_scale",
            shapes(2, 2, 4, 4),
            None,
            AttentionOptions { scale: Some(0.7), ..AttentionOptions::default() },
        ),
        Case::new(
            "attention_mask",
            OPS,
            &[(Normal, &[2, 4, 5, 8]), (Normal, &[2, 2, 7, 8]), (Normal, &[2, 2, 7, 6]), (Truth, &[2, 1, 1, 7])],
            |t| {
                let options = AttentionOptions { mask: Some(t[3].clone()), ..AttentionOptions::default() };
                t[0].scaled_dot_product_attention(&t[1], &t[2], &options)
            },
        )
        .shaped("large", &[&[2, 2, 70, 8], &[2, 2, 300, 8], &[2, 2, 300, 6], &[2, 1, 70, 300]])
        .within(Composite),
    ]
}
