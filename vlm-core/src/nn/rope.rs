//! Rotary position tables (Su et al. 2021).

use crate::tensor::RopeTables;
use crate::{Device, Result, Tensor};

/// The frequencies of a rotary embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    inv_freq: Vec<f32>,
}

impl Rope {
    /// `theta^(-2 i / dim)` for `i` in `0..dim / 2`.
    pub fn new(dim: usize, theta: f64) -> Self {
        let freq = |i: usize| theta.powf(-((2 * i) as f64) / dim as f64) as f32;
        Rope { inv_freq: (0..dim / 2).map(freq).collect() }
    }

    /// The tables for positions `[b, s]`, row after row; one row if all are equal.
    ///
    /// # Errors
    /// Those of the device.
    pub fn tables(&self, positions: &[Vec<i64>], device: &Device) -> Result<RopeTables> {
        let same = positions.windows(2).all(|w| w[0] == w[1]);
        let rows = if same { &positions[..positions.len().min(1)] } else { positions };
        let angle = |p: &i64| {
            let p = *p as f32;
            self.inv_freq.iter().map(move |f| p * f)
        };
        let angles: Vec<f32> = rows.iter().flatten().flat_map(angle).collect();
        let shape = [rows.len(), rows.first().map_or(0, Vec::len), self.inv_freq.len()];
        let table = |f: fn(f32) -> f32| {
            let values: Vec<f32> = angles.iter().map(|&a| f(a)).collect();
            Tensor::from_slice(&values, shape, device)
        };
        Ok(RopeTables { cos: table(f32::cos)?, sin: table(f32::sin)? })
    }
}
