//! How pictures are put into the batches that a model was compiled for.

use anyhow::{Result, bail};
use vlm_ascend::om::{Gears, OmDim, OmPort};

/// One execution: how many pictures, and the batch that they are put into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) pictures: usize,
    pub(crate) size: usize,
}

/// As many as are run at a time where any number is taken.
const OPEN: usize = 16;

/// Batches for `count` pictures of `[3, height, width]`: as few executions as may be, the last one filled up.
///
/// # Errors
/// If the model takes no pictures of that shape.
pub(crate) fn plan(port: &OmPort, gears: &Gears, picture: &[usize], count: usize) -> Result<Vec<Batch>> {
    let Some((first, rest)) = port.dims.split_first().filter(|(_, rest)| rest.len() == picture.len()) else {
        bail!("the model takes {port}, pictures are [pictures, {}]", show(picture))
    };
    let mut sizes: Vec<usize> = match (first, gears) {
        (OmDim::Fixed(n), _) => vec![*n],
        (OmDim::Gear, Gears::Batch(all)) => all.clone(),
        (OmDim::Gear, Gears::Dims(all)) => all.iter().filter(|d| d[1..] == *picture).map(|d| d[0]).collect(),
        (OmDim::Range { least, most }, _) => (*least..=most.unwrap_or(OPEN).min(OPEN.max(*least))).collect(),
        (OmDim::Gear, _) => Vec::new(),
    };
    let fits = rest.iter().zip(picture).all(|(dim, &size)| match *dim {
        OmDim::Fixed(n) => n == size,
        OmDim::Gear => true,
        OmDim::Range { least, most } => size >= least && most.is_none_or(|m| size <= m),
    });
    sizes.retain(|&s| s > 0);
    sizes.sort_unstable();
    let (Some(&largest), true) = (sizes.last(), fits) else {
        bail!("the model takes {port}, the processor makes pictures of [{}]", show(picture))
    };
    let mut left = count;
    let mut batches = Vec::new();
    while left > 0 {
        // The smallest that holds what is left, or the largest there is.
        let size = sizes.iter().copied().find(|&s| s >= left).unwrap_or(largest);
        batches.push(Batch { pictures: left.min(size), size });
        left -= left.min(size);
    }
    Ok(batches)
}

fn show(sizes: &[usize]) -> String {
    sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use vlm_core::DType;

    fn port(first: OmDim, size: OmDim) -> OmPort {
        OmPort { name: "x".to_owned(), dtype: DType::F32, dims: vec![first, OmDim::Fixed(3), size, size] }
    }

    fn sizes(first: OmDim, gears: &Gears, count: usize) -> Vec<(usize, usize)> {
        let all = plan(&port(first, OmDim::Fixed(8)), gears, &[3, 8, 8], count).unwrap();
        all.iter().map(|b| (b.pictures, b.size)).collect()
    }

    #[test]
    fn batches_are_filled_up() {
        assert_eq!(sizes(OmDim::Fixed(2), &Gears::None, 5), [(2, 2), (2, 2), (1, 2)]);
        let gears = Gears::Batch(vec![1, 2, 4, 8]);
        assert_eq!(sizes(OmDim::Gear, &gears, 11), [(8, 8), (3, 4)]);
        assert_eq!(sizes(OmDim::Range { least: 1, most: Some(4) }, &Gears::None, 6), [(4, 4), (2, 2)]);
        assert_eq!(sizes(OmDim::Range { least: 2, most: None }, &Gears::None, 1), [(1, 2)]);
        let dims = Gears::Dims(vec![vec![1, 3, 8, 8], vec![4, 3, 8, 8], vec![9, 3, 16, 16]]);
        assert_eq!(sizes(OmDim::Gear, &dims, 6), [(4, 4), (2, 4)]);
    }

    #[test]
    fn pictures_that_do_not_fit_are_an_error() {
        let other = plan(&port(OmDim::Fixed(1), OmDim::Fixed(16)), &Gears::None, &[3, 8, 8], 1);
        assert!(other.unwrap_err().to_string().contains("[3, 8, 8]"));
        assert!(plan(&port(OmDim::Fixed(1), OmDim::Fixed(8)), &Gears::None, &[8, 8], 1).is_err());
    }
}
