//! From components to red, green and blue, in libjpeg's and Pillow's integers.

use super::frame::{Frame, Tables};

/// 16 bits after the point.
const fn fix(x: f64) -> i32 {
    (x * 65536.0 + 0.5) as i32
}

const HALF: i32 = 1 << 15;

/// Rows of three bytes per pixel.
pub(super) fn to_rgb(frame: &Frame, tables: &Tables, planes: Vec<Vec<u8>>) -> Result<Vec<u8>, String> {
    let ids: Vec<u8> = frame.components.iter().map(|c| c.id).collect();
    match (planes.as_slice(), ids.as_slice()) {
        ([grey], _) => Ok(grey.iter().flat_map(|&v| [v; 3]).collect()),
        ([a, b, c], ids) => {
            let plain = match (tables.jfif, tables.adobe) {
                (true, _) => false,
                (false, Some(transform)) => transform == 0,
                (false, None) => ids == b"RGB",
            };
            let mut out = vec![0; 3 * a.len()];
            for (((pixel, &a), &b), &c) in out.as_chunks_mut::<3>().0.iter_mut().zip(a).zip(b).zip(c) {
                *pixel = if plain { [a, b, c] } else { from_ycc(a, b, c) };
            }
            Ok(out)
        }
        ([a, b, c, k], _) => {
            // Inks are stored inverted, as Adobe does and Pillow assumes of all; without its marker there is no transform.
            let is_ycck = tables.adobe.is_some_and(|t| t != 0);
            let pixels = a.iter().zip(b).zip(c).zip(k);
            Ok(pixels
                .flat_map(|(((&a, &b), &c), &k)| {
                    let inks = if is_ycck { from_ycc(a, b, c).map(|v| 255 - v) } else { [a, b, c] };
                    let light = u32::from(k);
                    inks.map(|ink| {
                        let product = u32::from(255 - ink) * light + 128;
                        (light - (((product >> 8) + product) >> 8)) as u8
                    })
                })
                .collect())
        }
        _ => Err(format!("a JPEG of {} components", planes.len())),
    }
}

fn from_ycc(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((fix(1.402) * cr + HALF) >> 16);
    let green = y + ((-fix(0.34414) * cb - fix(0.71414) * cr + HALF) >> 16);
    let blue = y + ((fix(1.772) * cb + HALF) >> 16);
    [red, green, blue].map(|v| v.clamp(0, 255) as u8)
}
