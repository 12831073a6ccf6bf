//! A sequence of random numbers for the host: data order, sampling.

use super::{RandomKey, uniform, words};

/// The words of one stream, one after the other. Its whole state is a key and a position, so it can be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rng {
    key: RandomKey,
    position: u64,
}

impl Rng {
    /// The sequence of `key` from its start.
    pub fn new(key: RandomKey) -> Self {
        Self::at(key, 0)
    }

    /// The sequence of `key` from word `position` on.
    pub fn at(key: RandomKey, position: u64) -> Self {
        Rng { key, position }
    }

    /// The position of the next word.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next word.
    pub fn next_u32(&mut self) -> u32 {
        let word = words(self.key, self.position / 4)[(self.position % 4) as usize];
        self.position += 1;
        word
    }

    /// The next two words.
    pub fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) | u64::from(self.next_u32()) << 32
    }

    /// A uniform number in `[0, 1)`.
    pub fn uniform(&mut self) -> f64 {
        uniform(self.next_u32())
    }

    /// A number in `0..n`, every one equally likely (Lemire 2019). 0 for `n = 0`.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(n);
            if wide as u64 >= n.wrapping_neg() % n {
                return (wide >> 64) as u64;
            }
        }
    }

    /// Puts `items` into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_goes_on_where_it_was_saved() {
        let key = RandomKey { seed: 1, stream: 2 };
        let mut rng = Rng::new(key);
        let first: Vec<u32> = (0..7).map(|_| rng.next_u32()).collect();
        let mut again = Rng::at(key, 3);
        assert_eq!(again.next_u32(), first[3]);
        assert_eq!(rng.position(), 7);
    }

    #[test]
    fn a_shuffle_is_a_permutation_and_below_stays_below() {
        let mut rng = Rng::new(RandomKey { seed: 5, stream: 0 });
        let mut items: Vec<u32> = (0..100).collect();
        rng.shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
        let mut seen = [0; 3];
        for _ in 0..3000 {
            seen[rng.below(3) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (900..1100).contains(&n)), "{seen:?}");
    }
}
