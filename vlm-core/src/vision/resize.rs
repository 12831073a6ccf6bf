//! Resizing, bit for bit as Pillow up to version 12 does it.
//!
//! Weights are computed in `f64` and rounded to 22 bits after the point; rows are resized first, then columns, each pass
//! rounded and cut to 0..255.

use super::Picture;
use crate::{Error, ErrorKind, Result};
use std::ops::Range;

/// A filter, by Pillow's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resample {
    /// The pixel that lies there.
    Nearest,
    /// The mean of the pixels below.
    Box,
    /// Straight lines.
    Bilinear,
    /// A cosine bell of radius 1.
    Hamming,
    /// Keys' cubic, a = -0.5.
    Bicubic,
    /// Windowed sinc of radius 3.
    Lanczos,
}

impl Resample {
    /// The filter of Pillow's number, which configuration files have.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for other numbers.
    pub fn from_pillow(number: i64) -> Result<Self> {
        match number {
            0 => Ok(Resample::Nearest),
            1 => Ok(Resample::Lanczos),
            2 => Ok(Resample::Bilinear),
            3 => Ok(Resample::Bicubic),
            4 => Ok(Resample::Box),
            5 => Ok(Resample::Hamming),
            other => Err(Error::new(ErrorKind::Config, "resample", format!("there is no filter {other}"))
                .hint("expected 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic, 4 box or 5 Hamming")),
        }
    }

    fn support(self) -> f64 {
        match self {
            Resample::Nearest | Resample::Box => 0.5,
            Resample::Bilinear | Resample::Hamming => 1.0,
            Resample::Bicubic => 2.0,
            Resample::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * std::f64::consts::PI).sin() / (x * std::f64::consts::PI) };
        match self {
            Resample::Nearest | Resample::Box => f64::from(x > -0.5 && x <= 0.5),
            Resample::Bilinear => (1.0 - x.abs()).max(0.0),
            Resample::Hamming => match x.abs() {
                0.0 => 1.0,
                x if x >= 1.0 => 0.0,
                x => sinc(x) * (0.54 + 0.46 * (x * std::f64::consts::PI).cos()),
            },
            Resample::Bicubic => match x.abs() {
                x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
                x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
                _ => 0.0,
            },
            Resample::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Resample::Lanczos => 0.0,
        }
    }
}

/// Bits after the point of weights.
const PRECISION: u32 = 22;

/// Where each pixel of a row comes from: the first source pixel and its weights.
struct Window {
    start: usize,
    weights: Vec<i32>,
}

/// The windows of the pixels in `wanted`, of a side of `from` pixels resized to `to`.
fn windows(from: usize, to: usize, wanted: Range<usize>, filter: Resample) -> Vec<Window> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    wanted
        .map(|i| {
            let center = (i as f64 + 0.5) * scale;
            let start = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(from);
            let weight = |x: usize| filter.weight((x as f64 - center + 0.5) * (1.0 / stretch));
            let weights: Vec<f64> = (start..end).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            let fixed = |w: f64| {
                let w = if sum == 0.0 { w } else { w / sum };
                (w * f64::from(1 << PRECISION) + 0.5f64.copysign(w)) as i32
            };
            Window { start, weights: weights.into_iter().map(fixed).collect() }
        })
        .collect()
}

fn round(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// `picture` in `width` by `height` pixels.
///
/// # Errors
/// [`ErrorKind::Image`] if a side is 0 or the result has more than [`MAX_PIXELS`](super::MAX_PIXELS).
pub fn resize(picture: &Picture, width: usize, height: usize, filter: Resample) -> Result<Picture> {
    if (width, height) == (picture.width(), picture.height()) {
        return Ok(picture.clone());
    }
    part_of_resized(picture, (width, height), (0, 0), (width, height), filter)
}

/// The part of `size` whose upper left corner is at `(left, top)` of `picture` in `full` pixels, without making the rest:
/// cutting the middle out of a long and thin picture must not cost what the whole would.
///
/// The part lies inside `full`.
pub(super) fn part_of_resized(
    picture: &Picture,
    full: (usize, usize),
    (left, top): (usize, usize),
    (width, height): (usize, usize),
    filter: Resample,
) -> Result<Picture> {
    super::picture::check_sides("resize", width as u64, height as u64)?;
    super::picture::check_sides("resize", full.0.max(full.1) as u64, 1)?;
    if full == (picture.width(), picture.height()) {
        return picture.crop(left, top, width, height);
    }
    if filter == Resample::Nearest {
        return nearest(picture, full, (left, top), (width, height));
    }
    let down = (full.1 != picture.height()).then(|| windows(picture.height(), full.1, top..top + height, filter));
    // The rows that the second pass reads.
    let rows = match &down {
        None => top..top + height,
        Some(w) => w.first().map_or(0, |w| w.start)..w.last().map_or(0, |w| w.start + w.weights.len()),
    };
    let across = if full.0 == picture.width() {
        picture.crop(left, rows.start, width, rows.len())?
    } else {
        // Between the passes lies the width of one and the height of the other, which may be more than both.
        super::picture::check_sides("resize", width as u64, rows.len() as u64)?;
        let windows = windows(picture.width(), full.0, left..left + width, filter);
        let mut out = Vec::with_capacity(3 * width * rows.len());
        for row in picture.rgb().chunks(3 * picture.width()).skip(rows.start).take(rows.len()) {
            for w in &windows {
                let mut sums = [1i32 << (PRECISION - 1); 3];
                for (pixel, &weight) in row[3 * w.start..].as_chunks::<3>().0.iter().zip(&w.weights) {
                    sums.iter_mut().zip(pixel).for_each(|(s, &v)| *s += i32::from(v) * weight);
                }
                out.extend(sums.map(round));
            }
        }
        Picture::from_rgb(width, rows.len(), out)?
    };
    let Some(down) = down else { return Ok(across) };
    let stride = 3 * width;
    let mut out = Vec::with_capacity(stride * height);
    let mut sums = vec![0i32; stride];
    for w in down {
        sums.fill(1 << (PRECISION - 1));
        for (row, &weight) in across.rgb().chunks(stride).skip(w.start - rows.start).zip(&w.weights) {
            sums.iter_mut().zip(row).for_each(|(s, &v)| *s += i32::from(v) * weight);
        }
        out.extend(sums.iter().copied().map(round));
    }
    Picture::from_rgb(width, height, out)
}

fn nearest(
    picture: &Picture,
    full: (usize, usize),
    (left, top): (usize, usize),
    (width, height): (usize, usize),
) -> Result<Picture> {
    // Steps are added up, not multiplied, as Pillow does: at some sizes that is another pixel.
    let sources = |from: usize, to: usize, skip: usize, take: usize| {
        let step = from as f64 / to as f64;
        let places = std::iter::successors(Some(step * 0.5), move |at| Some(at + step));
        places.map(move |at| (at as usize).min(from - 1)).skip(skip).take(take)
    };
    let columns: Vec<usize> = sources(picture.width(), full.0, left, width).collect();
    let mut out = Vec::with_capacity(3 * width * height);
    for y in sources(picture.height(), full.1, top, height) {
        let row = &picture.rgb()[3 * picture.width() * y..];
        columns.iter().for_each(|&x| out.extend_from_slice(&row[3 * x..3 * x + 3]));
    }
    Picture::from_rgb(width, height, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Resample; 6] =
        [Resample::Nearest, Resample::Box, Resample::Bilinear, Resample::Hamming, Resample::Bicubic, Resample::Lanczos];

    #[test]
    fn one_colour_stays_one_colour_and_sides_are_those_asked_for() {
        let p = Picture::from_rgb(5, 3, [9u8, 200, 255].repeat(15)).unwrap();
        for filter in ALL {
            for (w, h) in [(1, 1), (5, 7), (11, 3), (40, 2), (5, 3)] {
                let r = resize(&p, w, h, filter).unwrap();
                assert_eq!((r.width(), r.height()), (w, h));
                assert!(r.rgb().chunks(3).all(|c| c == [9, 200, 255]), "{filter:?} {w} x {h}");
            }
        }
    }

    /// Pillow 12 and 13 (one pass, where they agree): `Image.fromarray(row).resize((width, 1), filter)`.
    #[test]
    fn every_filter_is_pillows() {
        let p = Picture::from_grey(11, 1, &[168, 229, 184, 171, 238, 171, 20, 206, 245, 153, 204]).unwrap();
        let cases: [(Resample, &[u8]); 12] = [
            (Resample::Nearest, &[229, 238, 20, 153]),
            (Resample::Nearest, &[168, 184, 171, 171, 206, 245, 204]),
            (Resample::Lanczos, &[197, 186, 143, 203]),
            (
                Resample::Lanczos,
                &[160, 190, 227, 216, 178, 161, 189, 231, 238, 171, 52, 31, 148, 250, 253, 196, 152, 181, 213],
            ),
            (Resample::Bilinear, &[192, 194, 201, 153, 127, 213, 184]),
            (
                Resample::Bilinear,
                &[168, 190, 226, 205, 183, 175, 189, 227, 210, 171, 84, 49, 157, 218, 241, 201, 156, 185, 204],
            ),
            (Resample::Bicubic, &[195, 189, 143, 200]),
            (
                Resample::Bicubic,
                &[163, 189, 228, 209, 181, 168, 186, 234, 224, 171, 64, 32, 159, 234, 247, 202, 152, 184, 208],
            ),
            (Resample::Box, &[194, 193, 113, 201]),
            (Resample::Box, &[199, 184, 205, 171, 113, 245, 179]),
            (Resample::Hamming, &[199, 198, 130, 190]),
            (
                Resample::Hamming,
                &[168, 182, 229, 204, 184, 173, 177, 236, 216, 171, 69, 25, 190, 212, 245, 205, 153, 193, 204],
            ),
        ];
        for (filter, want) in cases {
            for down in [false, true] {
                let (w, h) = if down { (1, want.len()) } else { (want.len(), 1) };
                let p = if down { Picture::from_rgb(1, 11, p.rgb()).unwrap() } else { p.clone() };
                let got: Vec<u8> = resize(&p, w, h, filter).unwrap().rgb().chunks(3).map(|c| c[0]).collect();
                assert_eq!(got, want, "{filter:?} {w} x {h}");
            }
        }
    }

    #[test]
    fn edges_overshoot_and_are_cut() {
        let p = Picture::from_grey(4, 1, &[0, 0, 255, 255]).unwrap();
        let up = resize(&p, 8, 1, Resample::Bicubic).unwrap();
        let grey: Vec<u8> = up.rgb().chunks(3).map(|c| c[0]).collect();
        // Pillow 12: Image.fromarray(...).resize((8, 1), Image.BICUBIC).
        assert_eq!(grey, [0, 0, 0, 52, 203, 255, 255, 255]);
    }

    #[test]
    fn a_part_is_that_of_the_whole() {
        let grey: Vec<u8> = (0..35u32).map(|i| (i * i * 37 % 256) as u8).collect();
        let p = Picture::from_grey(7, 5, &grey).unwrap();
        for filter in ALL {
            for (w, h) in [(7, 5), (3, 5), (7, 9), (4, 3), (20, 31)] {
                let whole = resize(&p, w, h, filter).unwrap();
                for (x, y, pw, ph) in [(0, 0, w, h), (1, 1, w - 1, h - 2), (w / 2, h - 1, 1, 1)] {
                    let part = part_of_resized(&p, (w, h), (x, y), (pw, ph), filter).unwrap();
                    assert_eq!(part, whole.crop(x, y, pw, ph).unwrap(), "{filter:?} {w} x {h}");
                }
            }
        }
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let tall = Picture::from_grey(1, 1 << 20, &vec![0; 1 << 20]).unwrap();
        let e = resize(&tall, 1 << 20, 1, Resample::Bicubic).unwrap_err();
        assert!(e.message().contains("1048576 x 1048576"), "{e}");
        let p = Picture::from_grey(1, 1, &[0]).unwrap();
        assert!(resize(&p, 0, 3, Resample::Box).is_err());
        assert!(resize(&p, 1 << 20, 1 << 20, Resample::Box).is_err());
        assert!(Resample::from_pillow(9).is_err());
    }
}
