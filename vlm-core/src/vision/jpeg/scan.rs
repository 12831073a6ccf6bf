//! The coefficients of a scan (T.81 annexes F and G).

use super::frame::{Frame, Tables, ZIGZAG};
use super::huffman::{Bits, Huffman};

/// What a scan holds of each block.
struct Band {
    start: usize,
    end: usize,
    /// The bit that was sent before, and the one that is sent now.
    high: u32,
    low: u32,
}

struct Part<'t> {
    component: usize,
    dc: Option<&'t Huffman>,
    ac: Option<&'t Huffman>,
}

/// Reads the scan whose bytes begin at `at` into the frame and tells where they end.
pub(super) fn decode(
    frame: &mut Frame,
    tables: &Tables,
    header: &[u8],
    bytes: &[u8],
    at: usize,
) -> Result<usize, String> {
    let broken = || "a JPEG with a broken scan header".to_owned();
    let count = usize::from(*header.first().ok_or_else(broken)?);
    let (parts, tail) = header.get(1..).and_then(|h| h.split_at_checked(2 * count)).ok_or_else(broken)?;
    let &[start, end, bits, ..] = tail else { return Err(broken()) };
    let band = if frame.progressive {
        Band { start: start.into(), end: end.into(), high: u32::from(bits >> 4), low: u32::from(bits & 15) }
    } else {
        Band { start: 0, end: 63, high: 0, low: 0 }
    };
    let one_part = band.start == 0 || count == 1;
    if !(1..=4).contains(&count) || band.start > band.end || band.end > 63 || band.low > 13 || !one_part {
        return Err(broken());
    }
    if frame.progressive && band.start == 0 && band.end != 0 {
        return Err(broken());
    }
    let mut found = Vec::with_capacity(count);
    for part in parts.chunks_exact(2) {
        let component = frame.components.iter().position(|c| c.id == part[0]).ok_or_else(broken)?;
        if found.iter().any(|p: &Part<'_>| p.component == component) {
            return Err(broken());
        }
        let (dc, ac) = (usize::from(part[1] >> 4), usize::from(part[1] & 15));
        let table = |of: &'_ [Option<Huffman>; 4], i: usize, needed: bool| -> Result<(), String> {
            match of.get(i).is_some_and(Option::is_some) || !needed {
                true => Ok(()),
                false => Err("a JPEG whose scan names a Huffman table that is not there".to_owned()),
            }
        };
        table(&tables.dc, dc, band.start == 0 && band.high == 0)?;
        table(&tables.ac, ac, band.end > 0)?;
        let held = |of: &'_ [Option<Huffman>; 4], i: usize| of.get(i).map_or(0, |_| i);
        found.push(Part {
            component,
            dc: tables.dc[held(&tables.dc, dc)].as_ref(),
            ac: tables.ac[held(&tables.ac, ac)].as_ref(),
        });
    }
    let mut run = Run { bits: Bits::new(bytes, at), band, progressive: frame.progressive, last: [0; 4], ended: 0 };
    let mut left = tables.restart;
    let mut unit = |run: &mut Run<'_>| {
        if tables.restart > 0 {
            if left == 0 {
                run.bits.restart();
                (run.last, run.ended, left) = ([0; 4], 0, tables.restart);
            }
            left -= 1;
        }
    };
    if let [part] = found.as_slice() {
        // One component alone: only blocks that hold samples of the picture.
        let c = &frame.components[part.component];
        let (columns, rows) = (c.width.div_ceil(8), c.height.div_ceil(8));
        frame.count(columns * rows)?;
        let c = &mut frame.components[part.component];
        for block in 0..columns * rows {
            unit(&mut run);
            let place = block / columns * c.columns + block % columns;
            run.block(&mut c.coefficients[place], part, 0)?;
        }
        return Ok(run.bits.end());
    }
    let first = &frame.components[0];
    let (units, per_row) = (first.columns / first.h * (first.rows / first.v), first.columns / first.h);
    frame.count(found.iter().map(|part| &frame.components[part.component]).map(|c| c.columns * c.rows).sum())?;
    for i in 0..units {
        unit(&mut run);
        for (slot, part) in found.iter().enumerate() {
            let c = &mut frame.components[part.component];
            for block in 0..c.h * c.v {
                let (row, column) = (i / per_row * c.v + block / c.h, i % per_row * c.h + block % c.h);
                run.block(&mut c.coefficients[row * c.columns + column], part, slot)?;
            }
        }
    }
    Ok(run.bits.end())
}

/// A scan being read.
struct Run<'b> {
    bits: Bits<'b>,
    band: Band,
    progressive: bool,
    /// The last mean of each component.
    last: [i32; 4],
    /// Blocks from here that have nothing more.
    ended: u32,
}

const NO_TABLE: &str = "a JPEG whose scan names a Huffman table that is not there";

impl Run<'_> {
    fn block(&mut self, block: &mut [i16; 64], part: &Part<'_>, slot: usize) -> Result<(), String> {
        let (start, high) = (self.band.start, self.band.high);
        if start == 0 && high == 0 {
            let table = part.dc.ok_or(NO_TABLE)?;
            let size = u32::from(table.decode(&mut self.bits)?).min(16);
            self.last[slot] = self.last[slot].wrapping_add(self.bits.signed(size));
            block[0] = (self.last[slot] << self.band.low) as i16;
        } else if start == 0 {
            block[0] |= (self.bits.take(1) << self.band.low) as i16;
        }
        if self.band.end == 0 {
            return Ok(());
        }
        let table = part.ac.ok_or(NO_TABLE)?;
        match (self.progressive, high) {
            (false, _) => self.sequential(block, table),
            (true, 0) => self.first(block, table),
            (true, _) => self.refine(block, table),
        }
    }

    fn sequential(&mut self, block: &mut [i16; 64], table: &Huffman) -> Result<(), String> {
        let mut k = 1;
        while k < 64 {
            let code = table.decode(&mut self.bits)?;
            let (zeros, size) = (usize::from(code >> 4), u32::from(code & 15));
            if size == 0 {
                if zeros < 15 {
                    return Ok(());
                }
                k += 16;
                continue;
            }
            k += zeros;
            let value = self.bits.signed(size) as i16;
            // A run beyond the block is a broken file; libjpeg drops what it says.
            if let Some(&place) = ZIGZAG.get(k) {
                block[place] = value;
            }
            k += 1;
        }
        Ok(())
    }

    fn first(&mut self, block: &mut [i16; 64], table: &Huffman) -> Result<(), String> {
        if self.ended > 0 {
            self.ended -= 1;
            return Ok(());
        }
        let mut k = self.band.start;
        while k <= self.band.end {
            let code = table.decode(&mut self.bits)?;
            let (zeros, size) = (usize::from(code >> 4), u32::from(code & 15));
            if size == 0 {
                if zeros < 15 {
                    self.ended = (1 << zeros) - 1 + self.bits.take(zeros as u32);
                    return Ok(());
                }
                k += 16;
                continue;
            }
            k += zeros;
            let value = (self.bits.signed(size) << self.band.low) as i16;
            if let Some(&place) = ZIGZAG.get(k) {
                block[place] = value;
            }
            k += 1;
        }
        Ok(())
    }

    fn refine(&mut self, block: &mut [i16; 64], table: &Huffman) -> Result<(), String> {
        let (plus, minus) = (1i16 << self.band.low, -1i16 << self.band.low);
        let mut k = self.band.start;
        if self.ended == 0 {
            while k <= self.band.end {
                let code = table.decode(&mut self.bits)?;
                let (mut zeros, size) = (i32::from(code >> 4), code & 15);
                let mut new = 0;
                if size > 0 {
                    new = if self.bits.take(1) == 1 { plus } else { minus };
                } else if zeros < 15 {
                    self.ended = (1 << zeros) + self.bits.take(zeros as u32);
                    break;
                }
                // Over coefficients that are there already, each of which gets a bit, and over so many zeros.
                while k <= self.band.end {
                    let held = &mut block[ZIGZAG[k]];
                    if *held != 0 {
                        refined(held, &mut self.bits, plus);
                    } else {
                        zeros -= 1;
                        if zeros < 0 {
                            break;
                        }
                    }
                    k += 1;
                }
                if new != 0 && k <= self.band.end {
                    block[ZIGZAG[k]] = new;
                }
                k += 1;
            }
        }
        if self.ended > 0 {
            while k <= self.band.end {
                let held = &mut block[ZIGZAG[k]];
                if *held != 0 {
                    refined(held, &mut self.bits, plus);
                }
                k += 1;
            }
            self.ended -= 1;
        }
        Ok(())
    }
}

/// One more bit of a coefficient, unless it has it already.
fn refined(held: &mut i16, bits: &mut Bits<'_>, plus: i16) {
    if bits.take(1) == 1 && *held & plus == 0 {
        *held = if *held >= 0 { held.wrapping_add(plus) } else { held.wrapping_sub(plus) };
    }
}
