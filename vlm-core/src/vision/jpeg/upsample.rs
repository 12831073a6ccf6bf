//! Samples of all components at the picture's size. Where a component has half of the samples along a side, those between
//! are interpolated with weights 3 and 1 as libjpeg does ("fancy upsampling"); other factors repeat samples.

use super::frame::{Component, Frame, Tables};
use super::idct;

/// The samples of each component, `width` per row, at the picture's size.
pub(super) fn planes(frame: &Frame, tables: &Tables) -> Result<Vec<Vec<u8>>, String> {
    frame.components.iter().map(|c| plane(frame, c, tables)).collect()
}

fn plane(frame: &Frame, c: &Component, tables: &Tables) -> Result<Vec<u8>, String> {
    let table = tables.quantisation[c.table].as_ref();
    let table = table.ok_or("a JPEG whose quantisation table is not there")?;
    let stride = 8 * c.columns;
    let mut samples = vec![0u8; stride * 8 * c.rows];
    for (row, blocks) in samples.chunks_mut(8 * stride).zip(c.coefficients.chunks(c.columns)) {
        for (column, block) in blocks.iter().enumerate() {
            idct::block(block, table, &mut row[8 * column..], stride);
        }
    }
    let row = |y: usize| &samples[y.min(c.height - 1) * stride..][..c.width];
    let (w, h) = (frame.width, frame.height);
    let mut out = Vec::with_capacity(w * h);
    let (across, down) = (frame.h_max / c.h, frame.v_max / c.v);
    if !frame.h_max.is_multiple_of(c.h) || !frame.v_max.is_multiple_of(c.v) {
        return Err(format!("a JPEG with sampling factors {} x {} of {} x {}", c.h, c.v, frame.h_max, frame.v_max));
    }
    let mut wide = vec![0u8; 2 * c.width];
    let mut sums = vec![0i32; c.width];
    for y in 0..h {
        // The row that is nearest, and the one on its other side.
        let (near, far) = (row(y / 2), row(if y % 2 == 0 { (y / 2).saturating_sub(1) } else { y / 2 + 1 }));
        match (across, down) {
            (1, 1) => out.extend_from_slice(&row(y)[..w]),
            (2, 1) if c.width > 2 => {
                sums.iter_mut().zip(row(y)).for_each(|(s, v)| *s = i32::from(*v));
                widen(&sums, &mut wide, 2, [1, 2]);
                out.extend_from_slice(&wide[..w]);
            }
            (1, 2) => {
                let half = if y % 2 == 0 { 1 } else { 2 };
                let mixed = |(a, b): (&u8, &u8)| ((3 * i32::from(*a) + i32::from(*b) + half) >> 2) as u8;
                out.extend(near.iter().zip(far).take(w).map(mixed));
            }
            (2, 2) if c.width > 2 => {
                let mixed = |(s, (a, b)): (&mut i32, (&u8, &u8))| *s = 3 * i32::from(*a) + i32::from(*b);
                sums.iter_mut().zip(near.iter().zip(far)).for_each(mixed);
                widen(&sums, &mut wide, 4, [8, 7]);
                out.extend_from_slice(&wide[..w]);
            }
            _ => {
                let row = row(y / down);
                out.extend((0..w).map(|x| row[x / across]));
            }
        }
    }
    Ok(out)
}

/// Two samples for each: three parts of it and one of the neighbour on that side, then `shift` bits dropped after adding
/// `half` (left, right). At the ends all four parts are its own.
fn widen(sums: &[i32], wide: &mut [u8], shift: i32, half: [i32; 2]) {
    let mixed = |own: i32, left: i32, right: i32| {
        [((3 * own + left + half[0]) >> shift) as u8, ((3 * own + right + half[1]) >> shift) as u8]
    };
    let (pairs, n) = (wide.as_chunks_mut::<2>().0, sums.len());
    for (pair, near) in pairs[1..].iter_mut().zip(sums.windows(3)) {
        *pair = mixed(near[1], near[0], near[2]);
    }
    pairs[0] = mixed(sums[0], sums[0], sums[1]);
    pairs[n - 1] = mixed(sums[n - 1], sums[n - 2], sums[n - 1]);
}
