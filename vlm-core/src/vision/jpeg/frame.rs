//! Markers: tables and the frame's header (T.81 annex B).

use super::huffman::Huffman;

/// Most bytes of coefficients of a picture.
const MAX_COEFFICIENTS: usize = 1 << 30;
/// How often the scans of a large picture may go over all its blocks: encoders' own scripts do so five to seven times.
const MAX_PASSES: usize = 24;
/// Blocks that the scans of any picture may go over.
const FREE_BLOCKS: usize = 1 << 23;

/// Tables and settings that hold until they are replaced.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// By number, in natural order.
    pub(super) quantisation: [Option<[u16; 64]>; 4],
    pub(super) dc: [Option<Huffman>; 4],
    pub(super) ac: [Option<Huffman>; 4],
    pub(super) restart: usize,
    pub(super) jfif: bool,
    /// Adobe's colour transform, if there is its marker.
    pub(super) adobe: Option<u8>,
    pub(super) exif: Option<Vec<u8>>,
}

/// From the order in files to rows and columns.
pub(super) const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// The next marker from `at`, its segment's content, and where it ends.
pub(super) fn segment(bytes: &[u8], mut at: usize) -> Result<(u8, &[u8], usize), String> {
    let cut = || "a JPEG that is cut off: it has no end mark".to_owned();
    // Anything before the next marker is stepped over, as libjpeg does.
    while bytes.get(at).is_some_and(|b| *b != 0xff) {
        at += 1;
    }
    while bytes.get(at) == Some(&0xff) {
        at += 1;
    }
    let marker = *bytes.get(at).ok_or_else(cut)?;
    at += 1;
    if matches!(marker, 0x00 | 0x01 | 0xd0..=0xd9) {
        return Ok((marker, &[], at));
    }
    let length = match bytes.get(at..at + 2) {
        Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
        _ => return Err(cut()),
    };
    if length < 2 {
        return Err(format!("a JPEG whose segment {marker:02x} has length {length}"));
    }
    let content = bytes.get(at + 2..at + length).ok_or_else(cut)?;
    Ok((marker, content, at + length))
}

impl Tables {
    pub(super) fn quantisation(&mut self, mut segment: &[u8]) -> Result<(), String> {
        while let Some((&head, rest)) = segment.split_first() {
            let (wide, number) = (head >> 4 != 0, usize::from(head & 15));
            let size = if wide { 128 } else { 64 };
            if number > 3 || rest.len() < size {
                return Err("a JPEG with a broken quantisation table".to_owned());
            }
            let mut table = [0; 64];
            for (i, &place) in ZIGZAG.iter().enumerate() {
                table[place] =
                    if wide { u16::from_be_bytes([rest[2 * i], rest[2 * i + 1]]) } else { u16::from(rest[i]) };
            }
            self.quantisation[number] = Some(table);
            segment = &rest[size..];
        }
        Ok(())
    }

    pub(super) fn huffman(&mut self, mut segment: &[u8]) -> Result<(), String> {
        while let Some((&head, rest)) = segment.split_first() {
            let broken = || "a JPEG with a broken Huffman table".to_owned();
            let (class, number) = (head >> 4, usize::from(head & 15));
            let counts = rest.first_chunk::<16>().ok_or_else(broken)?;
            let total: usize = counts.iter().map(|&n| usize::from(n)).sum();
            let values = rest.get(16..16 + total).ok_or_else(broken)?;
            if class > 1 || number > 3 || total > 256 {
                return Err(broken());
            }
            let table = Huffman::new(counts, values)?;
            if class == 0 {
                self.dc[number] = Some(table)
            } else {
                self.ac[number] = Some(table)
            }
            segment = &rest[16 + total..];
        }
        Ok(())
    }

    pub(super) fn restart_interval(&mut self, segment: &[u8]) -> Result<(), String> {
        let &[high, low] = segment else { return Err("a JPEG with a broken restart interval".to_owned()) };
        self.restart = usize::from(u16::from_be_bytes([high, low]));
        Ok(())
    }

    pub(super) fn application(&mut self, marker: u8, segment: &[u8]) {
        match marker {
            0xe0 if segment.starts_with(b"JFIF\0") => self.jfif = true,
            0xe1 if self.exif.is_none() => self.exif = segment.strip_prefix(b"Exif\0\0").map(<[u8]>::to_vec),
            0xee if segment.len() >= 12 && segment.starts_with(b"Adobe") => self.adobe = Some(segment[11]),
            _ => {}
        }
    }
}

/// One component: luminance, a colour difference, or an ink.
#[derive(Debug)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Horizontal and vertical sampling factors.
    pub(super) h: usize,
    pub(super) v: usize,
    pub(super) table: usize,
    /// Samples that belong to the picture.
    pub(super) width: usize,
    pub(super) height: usize,
    /// Blocks per row and rows of blocks, filled up to whole units.
    pub(super) columns: usize,
    pub(super) rows: usize,
    /// Coefficients in natural order, block after block.
    pub(super) coefficients: Vec<[i16; 64]>,
}

/// The picture's sizes and components.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) progressive: bool,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) h_max: usize,
    pub(super) v_max: usize,
    pub(super) components: Vec<Component>,
    /// Blocks that scans went over so far.
    read: usize,
}

impl Frame {
    pub(super) fn parse(marker: u8, segment: &[u8]) -> Result<Self, String> {
        let Some((&[precision, h0, h1, w0, w1, count], rest)) = segment.split_first_chunk::<6>() else {
            return Err("a JPEG with a broken frame header".to_owned());
        };
        let (height, width) = (usize::from(u16::from_be_bytes([h0, h1])), usize::from(u16::from_be_bytes([w0, w1])));
        if precision != 8 {
            return Err(format!("a JPEG of {precision} bits, expected 8"));
        }
        if !matches!(count, 1 | 3 | 4) || rest.len() < 3 * usize::from(count) {
            return Err(format!("a JPEG of {count} components, expected 1, 3 or 4"));
        }
        if width == 0 || height == 0 {
            return Err(format!("a JPEG of {width} x {height} pixels"));
        }
        let mut components = Vec::with_capacity(usize::from(count));
        for part in rest.chunks_exact(3).take(usize::from(count)) {
            let (h, v, table) = (usize::from(part[1] >> 4), usize::from(part[1] & 15), usize::from(part[2]));
            if !(1..=4).contains(&h) || !(1..=4).contains(&v) || table > 3 {
                return Err(format!("a JPEG with sampling factors {h} x {v} and quantisation table {table}"));
            }
            let coefficients = Vec::new();
            components.push(Component {
                id: part[0],
                h,
                v,
                table,
                width: 0,
                height: 0,
                columns: 0,
                rows: 0,
                coefficients,
            });
        }
        let most = |f: fn(&Component) -> usize| components.iter().map(f).max().unwrap_or(1);
        let (h_max, v_max) = (most(|c| c.h), most(|c| c.v));
        let (units_x, units_y) = (width.div_ceil(8 * h_max), height.div_ceil(8 * v_max));
        for c in &mut components {
            (c.width, c.height) = ((width * c.h).div_ceil(h_max), (height * c.v).div_ceil(v_max));
            (c.columns, c.rows) = (units_x * c.h, units_y * c.v);
        }
        Ok(Frame { progressive: marker == 0xc2, width, height, h_max, v_max, components, read: 0 })
    }

    fn blocks(&self) -> usize {
        self.components.iter().map(|c| c.columns * c.rows).sum()
    }

    /// Counts the blocks of a scan, which need next to no bytes of the file: many scans of a large picture would be hours
    /// of work.
    pub(super) fn count(&mut self, blocks: usize) -> Result<(), String> {
        self.read = self.read.saturating_add(blocks);
        let most = FREE_BLOCKS.max(MAX_PASSES * self.blocks());
        if self.read <= most {
            return Ok(());
        }
        let (w, h) = (self.width, self.height);
        Err(format!("a JPEG of {w} x {h} pixels whose scans go over more than {most} blocks, made to waste time"))
    }

    /// Makes room for the coefficients of a file of `bytes` bytes. Every block has a mean of at least one bit, so that small
    /// files get little room, whatever their header claims.
    pub(super) fn with_room(mut self, bytes: usize) -> Result<Self, String> {
        let blocks = self.blocks();
        if blocks / 8 > bytes {
            let (w, h) = (self.width, self.height);
            return Err(format!("a JPEG that is cut off: {bytes} bytes are too few for {w} x {h} pixels"));
        }
        if blocks * size_of::<[i16; 64]>() > MAX_COEFFICIENTS {
            let (w, h) = (self.width, self.height);
            return Err(format!("{w} x {h} pixels in {blocks} blocks take more than {MAX_COEFFICIENTS} bytes"));
        }
        for c in &mut self.components {
            c.coefficients = vec![[0; 64]; c.columns * c.rows];
        }
        Ok(self)
    }
}
