//! Every kernel the machine has against plain f64 loops.

use super::*;
use crate::threads::set_num_threads;
use half::{bf16, f16};

/// A small generator: same numbers on every machine.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

fn kernels() -> Vec<(&'static Kernel, DType)> {
    let mut all = vec![(&kernel_portable::F32, DType::F32), (&kernel_portable::F32, DType::F16)];
    all.push((&kernel_portable::F32, DType::BF16));
    #[cfg(target_arch = "x86_64")]
    for kernel in [&kernel_x86::AVX2_F32, &kernel_x86::AVX512_F32, &kernel_x86::AVX512_BF16, &kernel_amx::BF16] {
        if kernel.isa <= Isa::detected() {
            all.push((kernel, DType::BF16));
            if kernel.compute == DType::F32 {
                all.extend([(kernel, DType::F32), (kernel, DType::F16)]);
            }
        }
    }
    all
}

/// Bytes of a random matrix, its values, and the strides of one of the layouts a tensor can have.
struct Operand {
    bytes: Vec<u8>,
    values: Vec<f64>,
    mat: Mat,
}

fn store(value: f64, dtype: DType, out: &mut Vec<u8>) -> f64 {
    match dtype {
        DType::F64 => out.extend(value.to_le_bytes()),
        DType::F32 => out.extend((value as f32).to_le_bytes()),
        DType::F16 => out.extend(f16::from_f64(value).to_le_bytes()),
        DType::BF16 => out.extend(bf16::from_f64(value).to_le_bytes()),
        DType::I64 => out.extend((value as i64).to_le_bytes()),
        DType::I32 => out.extend((value as i32).to_le_bytes()),
        DType::U32 => out.extend((value as u32).to_le_bytes()),
        _ => out.push(value as u8),
    }
    value
}

fn operand(rng: &mut Rng, rows: usize, cols: usize, dtype: DType) -> Operand {
    // Contiguous, transposed, with gaps, repeated rows, repeated columns, backwards.
    let (row_stride, col_stride) = match rng.below(7) {
        0 | 1 => (cols as isize, 1),
        2 => (1, rows as isize),
        3 => (cols as isize * 2 + 3, 2),
        4 => (0, 1),
        5 => (1, 0),
        _ => (-(cols as isize + 5), 1),
    };
    let span = (rows as isize * row_stride.abs() + cols as isize * col_stride.abs() + 8) as usize;
    let mut bytes = Vec::new();
    // Eighths are exact in every type.
    let scale = if dtype.is_float() { 0.125 } else { 1.0 };
    let low = if matches!(dtype, DType::U8 | DType::U32) { 0.0 } else { -8.0 };
    let all: Vec<f64> = (0..span).map(|_| store((rng.below(17) as f64 + low) * scale, dtype, &mut bytes)).collect();
    let start = if row_stride < 0 { (rows as isize - 1).max(0) * -row_stride } else { 0 };
    let at = |i: usize, j: usize| (start + i as isize * row_stride + j as isize * col_stride) as usize;
    let values = (0..rows * cols).map(|e| all[at(e / cols, e % cols)]).collect();
    let ptr = bytes[start as usize * dtype.size()..].as_ptr();
    Operand { mat: Mat { ptr, dtype, row_stride, col_stride }, bytes, values }
}

/// Runs `run` on a random problem and compares with f64 loops; returns the bytes of the result.
fn check(
    rng: &mut Rng,
    (m, n, k): (usize, usize, usize),
    dtype: DType,
    run: &dyn Fn(&Gemm<'_>) -> Result<()>,
) -> Vec<u8> {
    let (a, b) = (operand(rng, m, k, dtype), operand(rng, k, n, dtype));
    let half = matches!(dtype, DType::F16 | DType::BF16);
    let c_type = if half && rng.below(2) == 0 { DType::F32 } else { dtype };
    let (accumulate, with_bias) = (rng.below(3) == 0, dtype.is_float() && dtype != DType::F64 && rng.below(2) == 0);
    let with_map = with_bias && rng.below(2) == 0;
    let (rs, cs) = match rng.below(4) {
        0 => (1, m as isize),
        1 => (2 * n as isize + 1, 2),
        _ => (n as isize, 1),
    };
    let (mut c, mut bias) = (Vec::new(), Vec::new());
    let old = store(2.0, c_type, &mut vec![]);
    for _ in 0..(m as isize * rs + n as isize * cs) as usize {
        store(old, c_type, &mut c);
    }
    for j in 0..n {
        store((j % 64) as f64 * 0.5, dtype, &mut bias);
    }
    let negate = |row: &mut [f32]| row.iter_mut().for_each(|x| *x = -*x);
    let g = Gemm {
        m,
        n,
        k,
        a: a.mat,
        b: b.mat,
        c: MatMut { ptr: c.as_mut_ptr(), dtype: c_type, row_stride: rs, col_stride: cs },
        accumulate,
        bias: with_bias.then(|| (bias.as_ptr(), dtype)),
        map: with_map.then_some(&negate as Map<'_>),
    };
    run(&g).unwrap();
    assert!(!a.bytes.is_empty() && !b.bytes.is_empty());
    for i in 0..m {
        for j in 0..n {
            let mut want: f64 = (0..k).map(|l| a.values[i * k + l] * b.values[l * n + j]).sum();
            want += if with_bias { (j % 64) as f64 * 0.5 } else { 0.0 };
            want = if with_map { -want } else { want } + if accumulate { 2.0 } else { 0.0 };
            let at = (i as isize * rs + j as isize * cs) as usize * c_type.size();
            let e = &c[at..at + c_type.size()];
            let (got, tolerance) = match c_type {
                DType::F64 => (f64::from_le_bytes(e.try_into().unwrap()), 1e-12),
                DType::F32 => (f64::from(f32::from_le_bytes(e.try_into().unwrap())), 1e-5),
                DType::F16 => (f16::from_le_bytes(e.try_into().unwrap()).to_f64(), 1e-3),
                DType::BF16 => (bf16::from_le_bytes(e.try_into().unwrap()).to_f64(), 8e-3),
                DType::I64 => (i64::from_le_bytes(e.try_into().unwrap()) as f64, 0.0),
                DType::I32 => (f64::from(i32::from_le_bytes(e.try_into().unwrap())), 0.0),
                DType::U32 => (f64::from(u32::from_le_bytes(e.try_into().unwrap())), 0.0),
                _ => (f64::from(e[0]), 0.0),
            };
            let want = if c_type == DType::U8 { want.rem_euclid(256.0) } else { want };
            assert!(
                (got - want).abs() <= tolerance * (1.0 + want.abs()),
                "({i}, {j}) of {m}x{n}x{k} {dtype} is {got}, not {want}: {g:?}"
            );
        }
    }
    c
}

#[test]
fn kernels_agree_with_plain_loops_for_ragged_shapes_and_any_strides() {
    let mut rng = Rng(7);
    for (kernel, dtype) in kernels() {
        for _ in 0..60 {
            let shape = (1 + rng.below(70), 1 + rng.below(70), 1 + rng.below(70));
            // SAFETY: `check` passes valid operands; the kernel's level was detected.
            check(&mut rng, shape, dtype, &|g| unsafe { driver::product(kernel, g) });
        }
    }
}

#[test]
fn several_blocks_in_every_direction() {
    let mut rng = Rng(11);
    for (kernel, dtype) in kernels() {
        for shape in [(70, 110, kernel.kc + 33), (210, 75, 2 * kernel.kc + 1), (9, 400, 50), (400, 9, 64)] {
            // SAFETY: as above.
            check(&mut rng, shape, dtype, &|g| unsafe { driver::product(kernel, g) });
        }
    }
}

#[test]
fn the_front_door_takes_every_shape_and_type() {
    let mut rng = Rng(13);
    for dtype in DType::ALL.into_iter().filter(|&d| d != DType::Bool) {
        for isa in Isa::available() {
            for _ in 0..40 {
                let mut side = || [0, 1, 1, 2, 3, 4, 7, 33, 300][rng.below(9)];
                let shape = (side(), side(), side());
                // SAFETY: `check` passes valid operands; the level is available.
                check(&mut rng, shape, dtype, &|g| unsafe { gemm(isa, g) });
            }
        }
    }
}

#[test]
fn thread_count_never_changes_a_bit() {
    for (kernel, dtype) in kernels() {
        let run = |threads| {
            set_num_threads(threads);
            let mut rng = Rng(17);
            let mut all = Vec::new();
            for shape in [(130, 300, 900), (300, 130, 77), (64, 64, 64)] {
                // SAFETY: as above.
                all.push(check(&mut rng, shape, dtype, &|g| unsafe { driver::product(kernel, g) }));
                // SAFETY: as above.
                all.push(check(&mut rng, (1, 900, shape.2), dtype, &|g| unsafe { gemm(kernel.isa, g) }));
            }
            all
        };
        let one = run(1);
        assert!(run(2) == one && run(3) == one);
    }
}

#[test]
fn batches_compute_each_product() {
    let (m, n, k, count) = (5, 7, 30, 40);
    let a: Vec<f32> = (0..count * m * k).map(|i| (i % 13) as f32 - 6.0).collect();
    let b: Vec<f32> = (0..n * k).map(|i| (i % 7) as f32 - 3.0).collect();
    let mut c = vec![0_f32; count * m * n];
    let (x, w) = ((a.as_ptr().cast(), DType::F32), (b.as_ptr().cast(), DType::F32));
    let g = Gemm::linear(x, w, (c.as_mut_ptr().cast(), DType::F32), m, n, k);
    let offsets: Vec<BatchOffset> =
        (0..count as isize).map(|i| [i * (m * k) as isize, 0, i * (m * n) as isize]).collect();
    // SAFETY: the offsets stay inside the vectors; products write distinct rows.
    unsafe { gemm_batched(Isa::current(), &g, &offsets).unwrap() };
    for (i, &got) in c.iter().enumerate() {
        let (row, j) = (i / n, i % n);
        let want: f32 = (0..k).map(|l| a[row * k + l] * b[j * k + l]).sum();
        assert_eq!(got, want, "{i}");
    }
}

#[test]
fn the_safe_layer_checks_lengths_and_types() {
    let e = linear(&[0_f32; 6], &[0.0; 12], None, &mut [0.0; 7], (2, 4, 3)).unwrap_err();
    assert!(e.kind() == ErrorKind::Shape && e.to_string().contains("the output has 7 elements, not 2 x 4"), "{e}");
    let mut y = [0_f32; 8];
    linear(&[1.0; 6], &[2.0; 12], Some(&[1.0; 4]), &mut y, (2, 4, 3)).unwrap();
    assert_eq!(y, [7.0; 8]);
    assert_eq!(linear(&[true; 6], &[true; 12], None, &mut [true; 8], (2, 4, 3)).unwrap_err().kind(), ErrorKind::DType);
}
