//! Rotary position tables (Su et al. 2021).

use super::Positions;
use crate::tensor::RopeTables;
use crate::{Device, Result, Tensor};
use std::f64::consts::TAU;

/// The frequencies of a rotary embedding, and which axis of the positions turns each.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    inv_freq: Vec<f32>,
    axis: Vec<usize>,
    /// Factor of cosines and sines (YaRN).
    scale: f32,
}

/// YaRN's settings (Peng et al. 2023).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yarn {
    /// How much longer than `context` texts may be.
    pub factor: f64,
    /// The length that the model was first trained with.
    pub context: f64,
    /// Turns within `context` from which on a wave stays as it is.
    pub fast: f64,
    /// Turns within `context` below which a wave is stretched by all of `factor`.
    pub slow: f64,
    /// Factor of cosines and sines.
    pub attention: f64,
    /// Whether the bounds between stretched and kept waves are whole numbers.
    pub truncate: bool,
}

impl Rope {
    /// `theta^(-2 i / dim)` for `i` in `0..dim / 2`, all turned by the first axis.
    pub fn new(dim: usize, theta: f64) -> Self {
        let freq = |i: usize| theta.powf(-((2 * i) as f64) / dim as f64) as f32;
        Rope { inv_freq: (0..dim / 2).map(freq).collect(), axis: vec![0; dim / 2], scale: 1.0 }
    }

    /// Positions count `1 / factor` (Chen et al. 2023).
    #[must_use]
    pub fn linear(mut self, factor: f64) -> Self {
        self.inv_freq.iter_mut().for_each(|f| *f = (f64::from(*f) / factor) as f32);
        self
    }

    /// Llama 3.1's scaling: long waves by `factor`, short ones not at all, in between gradually. `context` is the length
    /// that the model was first trained with.
    #[must_use]
    pub fn llama3(mut self, factor: f64, low: f64, high: f64, context: f64) -> Self {
        for f in &mut self.inv_freq {
            let freq = f64::from(*f);
            let smooth = ((context * freq / TAU - low) / (high - low)).clamp(0.0, 1.0);
            *f = ((1.0 - smooth) * freq / factor + smooth * freq) as f32;
        }
        self
    }

    /// YaRN of frequencies made with `theta`: waves that turn often stay, long ones are stretched, in between gradually.
    #[must_use]
    pub fn yarn(mut self, theta: f64, y: Yarn) -> Self {
        let dim = (2 * self.inv_freq.len()) as f64;
        let at = |turns: f64| dim * (y.context / (turns * TAU)).ln() / (2.0 * theta.ln());
        let (low, high) = (at(y.fast), at(y.slow));
        let (low, high) = if y.truncate { (low.floor(), high.ceil()) } else { (low, high) };
        let (low, mut high) = (low.max(0.0), high.min(dim - 1.0));
        if low == high {
            high += 0.001;
        }
        for (i, f) in self.inv_freq.iter_mut().enumerate() {
            let stretched = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
            let freq = f64::from(*f);
            *f = (freq / y.factor * stretched + freq * (1.0 - stretched)) as f32;
        }
        self.scale = y.attention as f32;
        self
    }

    /// Time, height and width turn so many frequencies each (M-RoPE, Wang et al. 2024): one after the other, or taking
    /// turns as in Qwen3-VL until height and width have theirs.
    #[must_use]
    pub fn with_sections(mut self, sections: [usize; 3], interleaved: bool) -> Self {
        let [t, h, w] = sections;
        for (i, axis) in self.axis.iter_mut().enumerate() {
            *axis = match (interleaved, i % 3) {
                (true, 1) if i < 3 * h => 1,
                (true, 2) if i < 3 * w => 2,
                (true, _) => 0,
                (false, _) => usize::from(i >= t) + usize::from(i >= t + h),
            };
        }
        self
    }

    /// Rows and columns turn half of the frequencies each, `theta^(-2 i / (dim / 2))`: the rotary embedding of Qwen's
    /// vision towers, for heads of `dim` and positions of two axes.
    pub fn two_axes(dim: usize, theta: f64) -> Self {
        let one = Rope::new(dim / 2, theta).inv_freq;
        let n = one.len();
        Rope { inv_freq: [one.clone(), one].concat(), axis: [vec![0; n], vec![1; n]].concat(), scale: 1.0 }
    }

    /// Whether the angles of all positions below `positions` are finite: their cosines are numbers then.
    pub fn is_finite(&self, positions: usize) -> bool {
        self.inv_freq.iter().all(|f| (f * positions as f32).is_finite())
    }

    /// The tables for these positions; one row if all are equal. An axis that the positions lack is the first one.
    ///
    /// # Errors
    /// Those of the device.
    pub fn tables(&self, positions: &Positions, device: &Device) -> Result<RopeTables> {
        let axes = positions.axes();
        let of_row = |row: usize| axes.iter().map(move |axis| &axis[row]);
        let rows = axes.first().map_or(0, Vec::len);
        let same = (1..rows).all(|row| of_row(row).eq(of_row(0)));
        let rows = if same { rows.min(1) } else { rows };
        let shape = [rows, positions.len(), self.inv_freq.len()];
        let [cos, sin] = self.values(positions, rows);
        Ok(RopeTables { cos: Tensor::from_slice(&cos, shape, device)?, sin: Tensor::from_slice(&sin, shape, device)? })
    }

    /// The numbers of the tables, cosines and sines, of the first `rows` rows.
    pub(crate) fn values(&self, positions: &Positions, rows: usize) -> [Vec<f32>; 2] {
        let (axes, length) = (positions.axes(), positions.len());
        let at = |axis: usize, row: usize, i: usize| axes[axis.min(axes.len() - 1)][row][i] as f32;
        let of_place = |(row, i)| self.inv_freq.iter().zip(&self.axis).map(move |(f, &axis)| at(axis, row, i) * f);
        let places = (0..rows).flat_map(|row| (0..length).map(move |i| (row, i)));
        let angles: Vec<f32> = places.flat_map(of_place).collect();
        [f32::cos, f32::sin].map(|f: fn(f32) -> f32| angles.iter().map(|&a| f(a) * self.scale).collect())
    }

    /// Half the number of channels that are rotated.
    pub(crate) fn half(&self) -> usize {
        self.inv_freq.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_follow_each_other_or_take_turns() {
        let rope = Rope::new(16, 1e4);
        assert_eq!(rope.clone().with_sections([2, 3, 3], false).axis, [0, 0, 1, 1, 1, 2, 2, 2]);
        assert_eq!(rope.with_sections([4, 2, 2], true).axis, [0, 1, 2, 0, 1, 2, 0, 0]);
    }

    #[test]
    fn long_waves_are_scaled_and_short_ones_are_not() {
        let (plain, scaled) = (Rope::new(128, 5e5), Rope::new(128, 5e5).llama3(8.0, 1.0, 4.0, 8192.0));
        assert_eq!(plain.inv_freq[0], scaled.inv_freq[0]);
        assert!((plain.inv_freq[63] / scaled.inv_freq[63] - 8.0).abs() < 1e-5);
    }

    #[test]
    fn yarn_is_that_of_transformers() {
        // `_compute_yarn_parameters` for heads of 16 channels.
        for (truncate, expected) in [
            (true, [1.0, 0.316_227_76, 0.1, 0.025_693_506, 0.006_249_999_6, 0.001_383_496_6, 0.000_25, 7.905_695e-5]),
            (false, [1.0, 0.316_227_76, 0.1, 0.028_613_61, 0.006_556_971, 0.001_285_631_9, 0.000_25, 7.905_695e-5]),
        ] {
            let y = Yarn { factor: 4.0, context: 4096.0, fast: 32.0, slow: 1.0, attention: 1.25, truncate };
            let found = Rope::new(16, 1e4).yarn(1e4, y);
            found.inv_freq.iter().zip(expected).for_each(|(a, b)| assert!((a - b).abs() <= b * 2e-6, "{a} {b}"));
            assert_eq!(found.scale, 1.25);
        }
    }
}
