//! Help for tests: saying what cannot run here, and random damage to the inputs of parsers (what the fuzz targets do,
//! in small and in every test run).

/// Says that a test cannot run here, and why.
#[allow(
    clippy::print_stdout,
    reason = "a test tells its reader through the test runner, which captures standard output"
)]
pub(crate) fn skipped(why: impl std::fmt::Display) {
    println!("SKIPPED: {why}");
}

/// Calls `check` with each input and with `rounds` damaged versions of each, the same ones on every run.
pub(crate) fn with_damaged(inputs: &[Vec<u8>], rounds: usize, mut check: impl FnMut(&[u8])) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below.max(1)
    };
    for input in inputs {
        check(input);
        for _ in 0..rounds {
            let mut bytes = input.clone();
            for _ in 0..=random(3) {
                let at = random(bytes.len());
                match random(7) {
                    0 => bytes.truncate(at),
                    1 => bytes.insert(at, random(256) as u8),
                    2 if !bytes.is_empty() => drop(bytes.remove(at)),
                    3 => bytes.extend_from_within(at..),
                    4 if !bytes.is_empty() => bytes[at] ^= 1 << random(8),
                    5 if !bytes.is_empty() => bytes[at] = b"{}[]\",:09-e\\ \n\0\xff"[random(16)],
                    _ => {
                        let other = &inputs[random(inputs.len())];
                        let from = random(other.len());
                        bytes.splice(at.., other[from..].iter().copied());
                    }
                }
            }
            check(&bytes);
        }
    }
}
