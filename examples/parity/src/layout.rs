//! Pictures in the layouts of transformers, which pads tiles where ours stand one after the other.

use crate::folder::Folder;
use crate::output::Output;
use anyhow::Result;
use vlm_core::models::processor::Pictures;

/// Writes the values and what stands beside them below `prefix`.
pub(crate) fn put(folder: &Folder, out: &mut Output, prefix: &str, p: &Pictures) -> Result<()> {
    let name = |what: &str| format!("{prefix}/{what}");
    match folder.family() {
        "llava_next" | "llava_onevision" => padded(out, prefix, p, &p.tiles, false)?,
        "smolvlm" | "idefics3" => {
            let mut pictures = p.tiles.iter();
            let rows: Vec<usize> = p.per_row.iter().map(|&n| pictures.by_ref().take(n).sum()).collect();
            padded(out, prefix, p, &rows, true)?;
        }
        _ => out.put_f32(&name("pixel_values"), &p.data, &p.shape)?,
    }
    let numbers = |of: &[usize]| of.iter().map(|&n| n as i64).collect::<Vec<_>>();
    let grid: Vec<i64> = p.grid.iter().flatten().map(|&n| n as i64).collect();
    out.put_i64(&name("image_grid_thw"), &grid, &[p.grid.len(), 3])?;
    let sizes: Vec<i64> = p.sizes.iter().flatten().map(|&n| n as i64).collect();
    out.put_i64(&name("image_sizes"), &sizes, &[p.sizes.len(), 2])?;
    let shown: Vec<usize> = p.per_row.iter().copied().filter(|&n| n > 0).collect();
    out.put_i64(&name("batch_num_images"), &numbers(&shown), &[shown.len()])?;
    out.put_i64(&name("num_patches"), &numbers(&p.tiles), &[p.tiles.len()])?;
    // Pan and scan, which Gemma 3 leaves off, would cut further pictures out.
    out.put_i64(&name("num_crops"), &vec![0; p.shape[0]], &[p.shape[0]])?;
    let side = |i: usize| p.tile_grid.iter().map(|g| g[i] as i64).collect::<Vec<_>>();
    out.put_i64(&name("rows"), &side(0), &[p.tile_grid.len()])?;
    out.put_i64(&name("cols"), &side(1), &[p.tile_grid.len()])
}

/// `[groups, most tiles, 3, h, w]`, short groups filled with zeros, and where asked for the mask of what is real.
fn padded(out: &mut Output, prefix: &str, p: &Pictures, groups: &[usize], mask: bool) -> Result<()> {
    let most = groups.iter().copied().max().unwrap_or(0);
    let (tile, side) = (p.shape[1..].iter().product::<usize>(), p.shape[2..].iter().product::<usize>());
    let (mut data, mut seen, mut at) = (Vec::with_capacity(groups.len() * most * tile), Vec::new(), 0);
    for &n in groups {
        data.extend_from_slice(&p.data[at * tile..(at + n) * tile]);
        data.resize(data.len() + (most - n) * tile, 0.0);
        seen.resize(seen.len() + n * side, 1i64);
        seen.resize(seen.len() + (most - n) * side, 0);
        at += n;
    }
    let shape = [&[groups.len(), most], &p.shape[1..]].concat();
    out.put_f32(&format!("{prefix}/pixel_values"), &data, &shape)?;
    if mask {
        out.put_i64(
            &format!("{prefix}/pixel_attention_mask"),
            &seen,
            &[&[groups.len(), most], &p.shape[2..]].concat(),
        )?;
    }
    Ok(())
}
