//! The inverse cosine transform in integers (Loeffler, Ligtenberg and Moschytz 1989), with libjpeg's constants and rounding:
//! 13 bits after the point, two kept between the passes.

const BITS: i32 = 13;
const KEPT: i32 = 2;

/// One transform of eight values, `scale` bits of the result dropped.
fn eight(v: [i32; 8], scale: i32) -> [i32; 8] {
    let z1 = v[2].wrapping_add(v[6]).wrapping_mul(4433);
    let even = [
        v[0].wrapping_add(v[4]) << BITS,
        v[0].wrapping_sub(v[4]) << BITS,
        z1.wrapping_sub(v[6].wrapping_mul(15137)),
        z1.wrapping_add(v[2].wrapping_mul(6270)),
    ];
    let (a, d) = (even[0].wrapping_add(even[3]), even[0].wrapping_sub(even[3]));
    let (b, c) = (even[1].wrapping_add(even[2]), even[1].wrapping_sub(even[2]));
    let (z3, z4) = (v[7].wrapping_add(v[3]), v[5].wrapping_add(v[1]));
    let z5 = z3.wrapping_add(z4).wrapping_mul(9633);
    let z1 = v[7].wrapping_add(v[1]).wrapping_mul(-7373);
    let z2 = v[5].wrapping_add(v[3]).wrapping_mul(-20995);
    let z3 = z3.wrapping_mul(-16069).wrapping_add(z5);
    let z4 = z4.wrapping_mul(-3196).wrapping_add(z5);
    let odd = [
        v[1].wrapping_mul(12299).wrapping_add(z1).wrapping_add(z4),
        v[3].wrapping_mul(25172).wrapping_add(z2).wrapping_add(z3),
        v[5].wrapping_mul(16819).wrapping_add(z2).wrapping_add(z4),
        v[7].wrapping_mul(2446).wrapping_add(z1).wrapping_add(z3),
    ];
    let half = 1 << (scale - 1);
    let out = |x: i32, y: i32| x.wrapping_add(y).wrapping_add(half) >> scale;
    let off = |x: i32, y: i32| x.wrapping_sub(y).wrapping_add(half) >> scale;
    [
        out(a, odd[0]),
        out(b, odd[1]),
        out(c, odd[2]),
        out(d, odd[3]),
        off(d, odd[3]),
        off(c, odd[2]),
        off(b, odd[1]),
        off(a, odd[0]),
    ]
}

/// The samples of a block, written to `out` with `stride` samples per row.
pub(super) fn block(coefficients: &[i16; 64], table: &[u16; 64], out: &mut [u8], stride: usize) {
    let sample = |v: i32| (v + 128).clamp(0, 255) as u8;
    if coefficients[1..].iter().all(|c| *c == 0) {
        let mean = i32::from(coefficients[0]).wrapping_mul(i32::from(table[0])) << KEPT;
        let value = sample((mean + (1 << (KEPT + 2))) >> (KEPT + 3));
        out.chunks_mut(stride).take(8).for_each(|row| row[..8].fill(value));
        return;
    }
    let mut kept = [[0i32; 8]; 8];
    for x in 0..8 {
        let column: [i32; 8] =
            std::array::from_fn(|y| i32::from(coefficients[8 * y + x]).wrapping_mul(i32::from(table[8 * y + x])));
        let column =
            if column[1..].iter().all(|v| *v == 0) { [column[0] << KEPT; 8] } else { eight(column, BITS - KEPT) };
        column.iter().zip(&mut kept).for_each(|(v, row)| row[x] = *v);
    }
    for (row, out) in kept.iter().zip(out.chunks_mut(stride)) {
        let samples = eight(*row, BITS + KEPT + 3);
        samples.iter().zip(out).for_each(|(v, o)| *o = sample(*v));
    }
}
