//! Windows that slide over images of up to three dimensions.

/// A dimension that windows slide along.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// Of the image.
    pub(super) size: usize,
    /// How many elements of a window lie along it.
    pub(super) kernel: usize,
    /// How many windows there are.
    pub(super) steps: usize,
    pub(super) stride: usize,
    /// Zeros before the image.
    pub(super) before: usize,
    pub(super) dilation: usize,
}

impl Axis {
    /// A dimension that is not there.
    pub(super) const NONE: Axis = Axis { size: 1, kernel: 1, steps: 1, stride: 1, before: 0, dilation: 1 };

    /// Where element `k` of window `step` lies, if it is in the image.
    #[inline]
    pub(super) fn at(&self, step: usize, k: usize) -> Option<usize> {
        (step * self.stride + k * self.dilation).checked_sub(self.before).filter(|&p| p < self.size)
    }
}

/// Calls `f` for each row of windows along the last axis: with where the row of columns begins and where the row of the
/// image that it is taken from does (`None` where that is outside), and which element of the window it is of.
fn rows(axes: &[Axis; 3], channels: usize, mut f: impl FnMut(usize, Option<usize>, usize)) {
    let [d, h, w] = axes;
    let mut column = 0;
    for c in 0..channels {
        for kd in 0..d.kernel {
            for kh in 0..h.kernel {
                for kw in 0..w.kernel {
                    for od in 0..d.steps {
                        for oh in 0..h.steps {
                            let inside = d.at(od, kd).zip(h.at(oh, kh));
                            let row = inside.map(|(d, h_at)| ((c * axes[0].size + d) * h.size + h_at) * w.size);
                            f(column, row, kw);
                            column += w.steps;
                        }
                    }
                }
            }
        }
    }
}

/// The windows of an image as columns: `[channels * elements of a window, windows]`.
pub(super) fn columns(image: &[f32], channels: usize, axes: &[Axis; 3], out: &mut [f32]) {
    let w = axes[2];
    rows(axes, channels, |column, row, kw| {
        let out = &mut out[column..][..w.steps];
        match row {
            Some(row) => {
                let image = &image[row..][..w.size];
                out.iter_mut().enumerate().for_each(|(ow, o)| *o = w.at(ow, kw).map_or(0.0, |p| image[p]));
            }
            None => out.fill(0.0),
        }
    });
}

/// Adds columns back to where they came from.
pub(super) fn add_columns(cols: &[f32], channels: usize, axes: &[Axis; 3], image: &mut [f32]) {
    let w = axes[2];
    rows(axes, channels, |column, row, kw| {
        if let Some(row) = row {
            for (ow, c) in cols[column..][..w.steps].iter().enumerate() {
                if let Some(p) = w.at(ow, kw) {
                    image[row + p] += c;
                }
            }
        }
    });
}
