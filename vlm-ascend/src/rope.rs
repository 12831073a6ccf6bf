//! Rotary position embedding.

use crate::aclnn::Stream;
use crate::make::{Held, cast, cast_storage, computes, contiguous, result, room, strided};
use crate::storage::AscendStorage;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use vlm_core::backend::{OpKind, RopeArgs, RopeStyle, Storage, StorageRef, View};
use vlm_core::{DType, Dims, Layout, Result};

/// Tables of full width, made once for all layers that use the same angles.
#[derive(Debug, Default)]
pub(crate) struct Tables(Mutex<Vec<Known>>);

/// How many pairs of tables are kept.
const KEPT: usize = 8;

/// A table that was made from another. Holding a weak handle keeps anyone from writing into the original in place.
#[derive(Debug)]
struct Known {
    from: Weak<dyn Storage>,
    layout: Layout,
    style: RopeStyle,
    negated: bool,
    made: Arc<AscendStorage>,
}

impl Tables {
    /// Gives all of them up.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The angles' functions for both channels of every pair, `[b or 1, s, r]`.
    fn wide(&self, s: &Stream, table: &View<'_>, style: RopeStyle, negated: bool) -> Result<Arc<AscendStorage>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|k| k.from.strong_count() > 0);
        let same = |k: &&Known| {
            k.from.upgrade().is_some_and(|f: StorageRef| Arc::ptr_eq(&f, table.storage))
                && (k.layout, k.style, k.negated) == (*table.layout, style, negated)
        };
        if let Some(known) = all.iter().find(same) {
            return Ok(known.made.clone());
        }
        let made = Arc::new(widened(s, table, style, negated)?);
        if all.len() >= KEPT {
            all.remove(0);
        }
        let from = Arc::downgrade(table.storage);
        all.push(Known { from, layout: *table.layout, style, negated, made: made.clone() });
        Ok(made)
    }
}

fn widened(s: &Stream, table: &View<'_>, style: RopeStyle, negated: bool) -> Result<AscendStorage> {
    let shape = table.shape();
    let (b, n, half) = (shape[0], shape[1], shape[2]);
    let one = if negated {
        let operand = strided(table)?;
        Held::made(result(s, DType::F32, shape, |out| s.Neg(&operand, out))?, *shape)
    } else {
        contiguous(s, table)?
    };
    match style {
        RopeStyle::Interleaved => {
            let pairs = Dims::from_slice(&[b, n, half, 2]);
            let single = one
                .operand
                .clone()
                .with_view(&[b as i64, n as i64, half as i64, 1], &[(n * half) as i64, half as i64, 1, 1]);
            result(s, DType::F32, &pairs, |out| s.Cat(&[single.clone(), single.clone()], 3, out))
        }
        _ => {
            let whole = Dims::from_slice(&[b, n, 2 * half]);
            result(s, DType::F32, &whole, |out| s.Cat(&[one.operand.clone(), one.operand.clone()], 2, out))
        }
    }
}

/// Whether the operation takes it; `None` stands for the composition.
pub(crate) fn rope(s: &Stream, tables: &Tables, args: &RopeArgs<'_>) -> Result<Option<AscendStorage>> {
    let (x, dtype) = (args.x, args.x.dtype());
    let [b, h, n, d] = [x.shape()[0], x.shape()[1], x.shape()[2], x.shape()[3]];
    let r = 2 * args.cos.shape()[2];
    if x.count() == 0 || r == 0 || r >= MOST || !s.has("RotaryPositionEmbedding") {
        return Ok(None);
    }
    // With neighbouring channels the tables may differ along one dimension, and not be repeated too often.
    let own_tables = args.cos.shape()[0] > 1 && n > 1;
    let repeats = if args.cos.shape()[0] > 1 { h } else { b * h };
    if args.style == RopeStyle::Interleaved && (own_tables || repeats >= 1000) {
        return Ok(None);
    }
    computes(s, OpKind::Rope, args.style, dtype)?;
    let mode = match args.style {
        RopeStyle::Half => 0,
        RopeStyle::Interleaved => 1,
        _ => return Ok(None),
    };
    let rows = args.cos.shape()[0];
    let (cos, sin) =
        (tables.wide(s, &args.cos, args.style, false)?, tables.wide(s, &args.sin, args.style, args.inverse)?);
    let as_heads = Dims::from_slice(&[rows, 1, n, r]);
    let (cos, sin) = (cos.shaped(as_heads), sin.shaped(as_heads));
    // The tables are f32, and so is the rotation: rounding the angles would show.
    let part_layout = x.layout.narrow(3, 0, r);
    let part = View::new(x.storage, &part_layout);
    let operand = if dtype == DType::F32 { contiguous(s, &part)? } else { cast(s, &part, DType::F32)? };
    let rotated_shape = Dims::from_slice(&[b, h, n, r]);
    let rotated =
        result(s, DType::F32, &rotated_shape, |out| s.RotaryPositionEmbedding(&operand, &cos, &sin, mode, out))?;
    let rotated = cast_storage(s, rotated, dtype)?;
    if r == d {
        return Ok(Some(rotated));
    }
    let whole = room(s, dtype, x.count())?;
    let place = |start: usize, len: usize| {
        let layout = Layout::contiguous(*x.shape()).narrow(3, start, len);
        crate::aclnn::Operand::new(&whole, &layout)
    };
    s.InplaceCopy(&place(0, r), &rotated.shaped(rotated_shape))?;
    let rest = x.layout.narrow(3, r, d - r);
    s.InplaceCopy(&place(r, d - r), &strided(&View::new(x.storage, &rest))?)?;
    Ok(Some(whole))
}

/// Heads are narrower than this.
const MOST: usize = 896;
