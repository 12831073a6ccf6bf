//! The order in which rows are seen: index arithmetic, no data.
//!
//! The order of an epoch is a function of seed, epoch and number of rows alone, so it is the same on every machine and with
//! any number of threads, and a run continues from a [`Position`] of two numbers. The functions here never change what they
//! give for the same input: that would change every resumed run.

use crate::{Error, ErrorKind, Result};

const OP: &str = "load data";

/// The output function of SplitMix64 (Steele, Lea & Flood 2014): a well-mixed function of its input.
fn mix(mut z: u64) -> u64 {
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// A random number that depends on its key and counter alone.
fn random(key: u64, counter: u64) -> u64 {
    mix(key.wrapping_add(counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// A random order of `0..len` (Fisher and Yates), the same for the same key.
fn shuffled(len: usize, key: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    for i in (1..len).rev() {
        // The high half of the product maps 64 random bits to 0..=i.
        let j = (u128::from(random(key, i as u64)) * (i as u128 + 1)) >> 64;
        order.swap(i, j as usize);
    }
    order
}

/// How much of the data is kept for validation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValidationSize {
    /// This many rows.
    Rows(usize),
    /// This share of the rows, 0 up to but not including 1; at least one row if above 0.
    Share(f64),
}

/// Splits `len` rows into training and validation rows by seed; both come back sorted.
///
/// # Errors
/// [`ErrorKind::Config`] for a share outside of 0..1 or a size that leaves nothing to train on.
pub fn split(len: usize, size: ValidationSize, seed: u64) -> Result<(Vec<usize>, Vec<usize>)> {
    let count = match size {
        ValidationSize::Rows(rows) => rows,
        // A share below 1 always leaves a row to train on, where there are two.
        ValidationSize::Share(share) if (0.0..1.0).contains(&share) => {
            ((len as f64 * share).ceil() as usize).min(len.max(2) - 1)
        }
        ValidationSize::Share(share) => {
            let message = format!("a validation share of {share}, expected 0 up to (not including) 1");
            return Err(Error::new(ErrorKind::Config, OP, message));
        }
    };
    if count >= len {
        let message = format!("{count} rows for validation leave nothing of {len} to train on");
        return Err(Error::new(ErrorKind::Config, OP, message).hint("use a smaller val_size or more data"));
    }
    let mut order = shuffled(len, mix(seed ^ 0x7661_6c69_6461_7465));
    let mut validation = order.split_off(len - count);
    order.sort_unstable();
    validation.sort_unstable();
    Ok((order, validation))
}

/// How batches are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderConfig {
    /// Rows per batch, at least 1.
    pub batch_size: usize,
    /// Whether rows come in random order, another one in each epoch.
    pub shuffle: bool,
    /// Whether the rows at the end of an epoch that do not fill a batch are left out.
    pub drop_last: bool,
    /// Decides the order.
    pub seed: u64,
}

/// How far a loader is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// Complete passes over the data.
    pub epoch: u64,
    /// Rows of the current pass already given out.
    pub row: usize,
}

/// Rows to be used together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Where the loader was before it.
    pub start: Position,
    /// Row numbers.
    pub rows: Vec<usize>,
}

/// Gives out batches of row numbers, epoch after epoch, without end.
#[derive(Clone, Debug)]
pub struct Loader {
    rows: Vec<usize>,
    config: LoaderConfig,
    position: Position,
    /// The order of the current epoch.
    order: Vec<usize>,
}

impl Loader {
    /// A loader over these rows (all of a dataset, or one part of [`split`]), at the start.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for no rows, a batch size of 0, or with `drop_last` one larger than the number of rows.
    pub fn new(rows: Vec<usize>, config: LoaderConfig) -> Result<Self> {
        let LoaderConfig { batch_size, drop_last, .. } = config;
        let fail = |message: String| Err(Error::new(ErrorKind::Config, OP, message));
        if rows.is_empty() {
            return fail("there are no rows to load".to_owned());
        }
        if batch_size == 0 {
            return fail("a batch of 0 rows".to_owned());
        }
        if drop_last && batch_size > rows.len() {
            let message = format!("a batch of {batch_size} is more than the {} rows there are", rows.len());
            return fail(message)
                .map_err(|e| e.hint("use a smaller batch, more data, or keep the last batch (drop_last = false)"));
        }
        let mut loader = Loader { rows, config, position: Position::default(), order: Vec::new() };
        loader.start_epoch();
        Ok(loader)
    }

    /// Where it is: what a checkpoint keeps.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Goes to a position from a checkpoint.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it lies beyond the data: the checkpoint belongs to other data or another batch size.
    pub fn seek(&mut self, position: Position) -> Result<()> {
        if position.row >= self.rows_per_epoch() {
            let message = format!("position {} is beyond the {} rows of an epoch", position.row, self.rows_per_epoch());
            return Err(Error::new(ErrorKind::Config, OP, message)
                .hint("the checkpoint was made with other data or another batch size"));
        }
        self.position = position;
        self.start_epoch();
        Ok(())
    }

    /// Batches in one epoch, at least 1.
    pub fn batches_per_epoch(&self) -> usize {
        let LoaderConfig { batch_size, drop_last, .. } = self.config;
        if drop_last { self.rows.len() / batch_size } else { self.rows.len().div_ceil(batch_size) }
    }

    fn rows_per_epoch(&self) -> usize {
        (self.batches_per_epoch() * self.config.batch_size).min(self.rows.len())
    }

    /// Passes over the data so far, as a fraction.
    pub fn epochs(&self) -> f64 {
        self.position.epoch as f64 + self.position.row as f64 / self.rows_per_epoch() as f64
    }

    fn start_epoch(&mut self) {
        let key = mix(mix(self.config.seed).wrapping_add(self.position.epoch));
        self.order = if self.config.shuffle { shuffled(self.rows.len(), key) } else { (0..self.rows.len()).collect() };
    }

    /// The next batch; after the last one of an epoch comes the first one of the next.
    pub fn next_batch(&mut self) -> Batch {
        let start = self.position;
        let end = (start.row + self.config.batch_size).min(self.rows_per_epoch());
        let rows = self.order[start.row..end].iter().map(|&i| self.rows[i]).collect();
        self.position.row = end;
        if end == self.rows_per_epoch() {
            self.position = Position { epoch: start.epoch + 1, row: 0 };
            self.start_epoch();
        }
        Batch { start, rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn config(batch_size: usize, drop_last: bool, seed: u64) -> LoaderConfig {
        LoaderConfig { batch_size, shuffle: true, drop_last, seed }
    }

    proptest! {
        /// Every epoch has every row once, in another order, and continuing from any position gives the same batches.
        #[test]
        fn epochs_are_permutations_and_can_be_continued(len in 1usize..60, batch in 1usize..20, drop in any::<bool>(), seed: u64) {
            prop_assume!(!drop || batch <= len);
            let rows: Vec<usize> = (0..len).map(|r| r * 3).collect();
            let mut loader = Loader::new(rows.clone(), config(batch, drop, seed)).unwrap();
            let per_epoch = loader.batches_per_epoch();
            let mut all = Vec::new();
            for epoch in 0..3u64 {
                let mut seen = Vec::new();
                for b in 0..per_epoch {
                    prop_assert_eq!(loader.position(), Position { epoch, row: b * batch });
                    let next = loader.next_batch();
                    prop_assert!(next.rows.len() == batch || (!drop && b + 1 == per_epoch));
                    seen.extend(next.rows.clone());
                    all.push(next);
                }
                seen.sort_unstable();
                seen.dedup();
                prop_assert_eq!(seen.len(), if drop { per_epoch * batch } else { len });
            }
            prop_assert_eq!(loader.epochs(), 3.0);
            for want in &all {
                let mut resumed = Loader::new(rows.clone(), config(batch, drop, seed)).unwrap();
                resumed.seek(want.start).unwrap();
                prop_assert_eq!(&resumed.next_batch(), want);
            }
        }

        #[test]
        fn a_split_has_every_row_on_one_side(len in 2usize..200, share in 0.0f64..0.9, seed: u64) {
            let (train, validation) = split(len, ValidationSize::Share(share), seed).unwrap();
            let mut all = [train, validation.clone()].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..len).collect::<Vec<_>>());
            prop_assert_eq!(validation.is_empty(), share == 0.0);
            prop_assert_eq!(split(len, ValidationSize::Rows(validation.len()), seed).unwrap().1, validation);
        }
    }

    /// Another order here would silently change what resumed runs do.
    #[test]
    fn orders_stay_what_they_are() {
        let first = |seed| Loader::new((0..8).collect(), config(8, false, seed)).unwrap().next_batch().rows;
        assert_eq!(first(0), PINNED[0]);
        assert_eq!(first(1), PINNED[1]);
        assert_eq!(split(10, ValidationSize::Rows(3), 42).unwrap().1, PINNED[2]);
    }
    const PINNED: [&[usize]; 3] = [&[5, 2, 4, 3, 0, 7, 1, 6], &[6, 4, 0, 2, 5, 7, 1, 3], &[4, 5, 9]];

    #[test]
    fn orders_are_even() {
        // Each of the 6 orders of 3 rows in 6000 epochs: 1000 times each, give or take five deviations.
        let mut counts = std::collections::BTreeMap::new();
        let mut loader = Loader::new((0..3).collect(), config(3, false, 9)).unwrap();
        (0..6000).for_each(|_| *counts.entry(loader.next_batch().rows).or_insert(0) += 1);
        assert!(counts.len() == 6 && counts.values().all(|c| (850..1150).contains(c)), "{counts:?}");
    }

    #[test]
    fn settings_that_give_no_batches_are_refused() {
        let message = |r: Result<Loader>| r.unwrap_err().to_string();
        assert!(message(Loader::new(vec![], config(1, false, 0))).contains("no rows"));
        assert!(message(Loader::new(vec![1], config(0, false, 0))).contains("batch of 0"));
        assert!(message(Loader::new(vec![1], config(2, true, 0))).contains("batch of 2 is more than the 1 rows"));
        let mut one = Loader::new(vec![7], config(2, false, 0)).unwrap();
        assert_eq!((one.next_batch().rows, one.next_batch().start.epoch), (vec![7], 1));
        assert!(one.seek(Position { epoch: 0, row: 1 }).unwrap_err().to_string().contains("other data"));
        assert!(split(5, ValidationSize::Rows(5), 0).unwrap_err().to_string().contains("nothing of 5"));
        for share in [1.0, -0.1, f64::NAN] {
            assert!(split(5, ValidationSize::Share(share), 0).is_err());
        }
    }
}
