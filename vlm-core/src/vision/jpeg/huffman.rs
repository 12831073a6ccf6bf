//! Huffman codes and the bits they come from (T.81 annexes C and F).

/// Codes up to this length are found by one look.
const LOOK: u32 = 9;

/// A decoding table.
#[derive(Debug)]
pub(super) struct Huffman {
    /// For the next [`LOOK`] bits: length of the code and its value; length 0 for longer codes.
    look: Vec<(u8, u8)>,
    /// For each length: the largest code, the smallest, and where its value stands; -1 where there is none.
    longest: [(i32, i32, usize); 17],
    values: Vec<u8>,
}

impl Huffman {
    pub(super) fn new(counts: &[u8; 16], values: &[u8]) -> Result<Self, String> {
        let (mut look, mut longest) = (vec![(0, 0); 1 << LOOK], [(-1, 0, 0); 17]);
        let (mut code, mut at) = (0i32, 0usize);
        for (length, &count) in (1u32..).zip(counts) {
            let count = usize::from(count);
            if code + count as i32 > 1 << length {
                return Err("a JPEG with a Huffman table of too many codes".to_owned());
            }
            if count > 0 {
                longest[length as usize] = (code + count as i32 - 1, code, at);
            }
            for i in 0..count {
                if length <= LOOK {
                    let first = (code as usize + i) << (LOOK - length);
                    look[first..first + (1 << (LOOK - length))].fill((length as u8, values[at + i]));
                }
            }
            code = (code + count as i32) << 1;
            at += count;
        }
        Ok(Huffman { look, longest, values: values.to_vec() })
    }

    /// The next value.
    pub(super) fn decode(&self, bits: &mut Bits<'_>) -> Result<u8, String> {
        let next = bits.peek(16);
        let (length, value) = self.look[(next >> (16 - LOOK)) as usize];
        if length > 0 {
            bits.skip(u32::from(length));
            return Ok(value);
        }
        for length in LOOK + 1..=16 {
            let (last, first, at) = self.longest[length as usize];
            let code = (next >> (16 - length)) as i32;
            if code <= last && code >= first {
                bits.skip(length);
                return Ok(self.values[at + (code - first) as usize]);
            }
        }
        Err("a JPEG with a bit pattern that is no Huffman code".to_owned())
    }
}

/// The bits of a scan. From a marker on they are zeros, as in libjpeg.
#[derive(Debug)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    held: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Bits { bytes, at, held: 0, count: 0 }
    }

    fn fill(&mut self) {
        while self.count <= 48 {
            let byte = match self.bytes.get(self.at..) {
                Some([0xff, 0x00, ..]) => {
                    self.at += 2;
                    0xff
                }
                // A marker, or the end.
                Some([0xff, ..] | []) | None => 0,
                Some([byte, ..]) => {
                    self.at += 1;
                    *byte
                }
            };
            self.held = self.held << 8 | u64::from(byte);
            self.count += 8;
        }
    }

    /// The next `n` bits, at most 16, without taking them.
    pub(super) fn peek(&mut self, n: u32) -> u32 {
        if self.count < n {
            self.fill();
        }
        (self.held >> (self.count - n)) as u32 & ((1 << n) - 1)
    }

    /// Takes bits that were looked at.
    pub(super) fn skip(&mut self, n: u32) {
        self.count -= n;
    }

    /// Takes the next `n` bits, at most 16.
    pub(super) fn take(&mut self, n: u32) -> u32 {
        let value = self.peek(n);
        self.skip(n);
        value
    }

    /// Takes a number of `n` bits whose first bit tells its sign (T.81 F.2.2.1).
    pub(super) fn signed(&mut self, n: u32) -> i32 {
        if n == 0 {
            return 0;
        }
        let value = self.take(n) as i32;
        if value < 1 << (n - 1) { value - (1 << n) + 1 } else { value }
    }

    /// Goes on behind the next restart marker, if one comes next.
    pub(super) fn restart(&mut self) {
        (self.held, self.count) = (0, 0);
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let fillers = rest.iter().take_while(|b| **b == 0xff).count();
        if fillers > 0 && rest.get(fillers).is_some_and(|m| (0xd0..=0xd7).contains(m)) {
            self.at += fillers + 1;
        }
    }

    /// Where the scan's bytes end: at the marker that stopped it or, if none did, where reading is.
    pub(super) fn end(&self) -> usize {
        self.at
    }
}
