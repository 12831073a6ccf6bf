//! What the contract says beyond single results: memory, random numbers, unusual numbers, threads.

use super::forward::Verdict;
use crate::backend::{Distribution, HostBytes, OpKind, RandomKey};
use crate::{DType, Device, Element, Error, ErrorKind, Result, Tensor};
use std::sync::Arc;

/// A check and its name.
pub(super) type Check = (&'static str, fn(&Device) -> Verdict);

/// The methods checked here.
#[cfg(test)]
pub(super) const COVERS: [OpKind; 4] = [OpKind::Fill, OpKind::Arange, OpKind::Random, OpKind::CopyInto];

pub(super) fn checks() -> Vec<Check> {
    vec![
        ("bytes_come_back", |d| all_types(|t| bytes_come_back(t, d))),
        ("parts_are_downloaded", parts_are_downloaded),
        ("adopted_bytes_are_read", adopted_bytes_are_read),
        ("empty_storages_work", empty_storages_work),
        ("fill_and_arange", |d| all_types(|t| fill_and_arange(t, d))),
        ("shared_storages_are_not_written", shared_storages_are_not_written),
        ("random_numbers_depend_on_the_key_alone", random_numbers),
        ("not_a_number_is_kept", not_a_number_is_kept),
        ("rows_without_weight", rows_without_weight),
        ("ignored_rows_have_no_part", ignored_rows_have_no_part),
        ("flat_parts_have_no_gradient", flat_parts_have_no_gradient),
        ("bad_indices_are_named", bad_indices_are_named),
        ("threads_share_a_device", threads_share_a_device),
        ("properties_are_sane", properties_are_sane),
    ]
}

fn say(e: Error) -> String {
    format!("{e:?}")
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, got: T, want: T) -> Verdict {
    if got == want { Ok(()) } else { Err(format!("{what}: found {got:?}, expected {want:?}")) }
}

fn all_types(check: impl Fn(DType) -> Verdict) -> Verdict {
    DType::ALL.into_iter().try_for_each(|d| check(d).map_err(|e| format!("{d}: {e}")))
}

fn f32s(t: Result<Tensor>) -> std::result::Result<Vec<f32>, String> {
    t.and_then(|t| t.to_vec::<f32>()).map_err(say)
}

fn bytes_come_back(dtype: DType, device: &Device) -> Verdict {
    let bytes: Vec<u8> = (0..48).map(|i| if dtype == DType::Bool { i % 2 } else { i + 3 }).collect();
    let kernels = device.kernels();
    let storage = kernels.upload(dtype, &bytes).map_err(say)?;
    equal("dtype", storage.dtype(), dtype)?;
    equal("length", storage.len(), 48 / dtype.size())?;
    let mut back = vec![0; 48];
    kernels.download(&storage, 0, &mut back).map_err(say)?;
    equal("bytes", back, bytes.clone())?;
    if let Some(seen) = kernels.host_bytes(&storage) {
        equal("host bytes", seen, &bytes[..])?;
    }
    Ok(())
}

fn parts_are_downloaded(device: &Device) -> Verdict {
    let storage = device.kernels().upload(DType::I32, i32::as_bytes(&[1, 2, 3, 4, 5])).map_err(say)?;
    let mut part = [0; 8];
    device.kernels().download(&storage, 2, &mut part).map_err(say)?;
    equal("elements 2 and 3", &part[..], i32::as_bytes(&[3, 4]))
}

fn adopted_bytes_are_read(device: &Device) -> Verdict {
    let owner: Arc<dyn AsRef<[u8]> + Send + Sync> = Arc::new(f32::as_bytes(&[9.0, 1.0, 2.0, 3.0]).to_vec());
    let bytes = HostBytes::new(owner, 4, 12).ok_or("no such bytes")?;
    let t = Tensor::from_host_bytes(bytes, DType::F32, 3, device);
    equal("values", f32s(t.and_then(|t| t.mul_scalar(2.0)))?, vec![2.0, 4.0, 6.0])
}

fn empty_storages_work(device: &Device) -> Verdict {
    let kernels = device.kernels();
    equal("alloc", kernels.alloc(DType::F32, 0).map_err(say)?.len(), 0)?;
    let storage = kernels.upload(DType::BF16, &[]).map_err(say)?;
    kernels.download(&storage, 0, &mut []).map_err(say)?;
    kernels.synchronize().map_err(say)
}

fn fill_and_arange(dtype: DType, device: &Device) -> Verdict {
    let wide = |t: Result<Tensor>| t.and_then(|t| super::forward::values(&t)).map_err(say);
    let full = wide(Tensor::full([2, 3], 1.0, dtype, device))?;
    equal("fill", full, vec![1.0; 6])?;
    if dtype == DType::Bool {
        return Ok(());
    }
    let arange = wide(Tensor::arange(3.0, 10.0, 2.0, dtype, device))?;
    equal("arange", arange, vec![3.0, 5.0, 7.0, 9.0])
}

fn shared_storages_are_not_written(device: &Device) -> Verdict {
    let before = Tensor::from_slice(&[1.0f32, 2.0, 3.0], 3, device).map_err(say)?;
    let one = Tensor::from_slice(&[9.0f32], 1, device).map_err(say)?;
    let index = Tensor::from_slice(&[1i64], 1, device).map_err(say)?;
    let kept = before.clone();
    equal("written", f32s(before.clone().write_slice(0, 2, &one))?, vec![1.0, 2.0, 9.0])?;
    equal("index_add", f32s(before.index_add(0, &index, &one))?, vec![1.0, 11.0, 3.0])?;
    equal("what somebody else holds", f32s(Ok(kept))?, vec![1.0, 2.0, 3.0])
}

fn random_numbers(device: &Device) -> Verdict {
    let draw = |n: usize, from, key, on: &Device| {
        Tensor::random(n, from, key, DType::F32, on).and_then(|t| t.to_vec::<f32>()).map_err(say)
    };
    let (key, other) = (RandomKey { seed: 3, stream: 4 }, RandomKey { seed: 3, stream: 5 });
    let n = 10_001;
    let normal = Distribution::Normal { mean: 1.0, std: 2.0 };
    for from in [Distribution::Uniform { low: -1.0, high: 3.0 }, normal, Distribution::Bernoulli { p: 0.3 }] {
        let got = draw(n, from, key, device)?;
        if got == draw(n, from, other, device)? {
            return Err(format!("{from:?}: two streams are equal"));
        }
        equal("the beginning of a longer draw", &draw(37, from, key, device)?[..], &got[..37])?;
        let want = draw(n, from, key, &Device::reference())?;
        // The words are the same; logarithms and sines may differ in their last bits.
        let off = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
        let most = if from == normal { 2e-5 } else { 1e-6 };
        // A NaN is too far off as well.
        if off.is_nan() || off > most {
            return Err(format!("{from:?}: off by {off:e} from the reference"));
        }
    }
    Ok(())
}

fn not_a_number_is_kept(device: &Device) -> Verdict {
    for dtype in DType::FLOATS.into_iter().filter(|&d| super::forward::computes(d, device)) {
        let x = |v: &[f64]| {
            Tensor::from_slice(v, v.len(), &Device::reference()).and_then(|t| t.to_dtype(dtype)?.to_device(device))
        };
        let (a, b) = (x(&[f64::NAN, 1.0, f64::INFINITY]).map_err(say)?, x(&[2.0, f64::NAN, 1.0]).map_err(say)?);
        let is_nan = |t: Result<Tensor>| -> std::result::Result<Vec<bool>, String> {
            Ok(super::forward::values(&t.map_err(say)?).map_err(say)?.iter().map(|v| v.is_nan()).collect())
        };
        equal("maximum", is_nan(a.maximum(&b))?, vec![true, true, false])?;
        equal("minimum", is_nan(a.minimum(&b))?, vec![true, true, false])?;
        equal("relu", is_nan(a.relu())?, vec![true, false, false])?;
        equal("clamp", is_nan(a.clamp(0.0, 1.0))?, vec![true, false, false])?;
        equal("max", is_nan(b.max(0, false))?, vec![true])?;
        equal("min", is_nan(b.min(0, false))?, vec![true])?;
        equal("sum", is_nan(a.sum_all())?, vec![true])?;
        equal("argmax", b.argmax(0, false).and_then(|t| t.to_vec::<i64>()).map_err(say)?, vec![1])?;
        equal("sort", b.sort(0, false).and_then(|s| s.1.to_vec::<i64>()).map_err(say)?, vec![2, 0, 1])?;
        let falsehood = |t: Result<Tensor>| t.and_then(|t| t.to_vec::<bool>()).map_err(say);
        equal("eq", falsehood(a.eq(&a))?, vec![false, true, true])?;
        equal("ne", falsehood(a.ne(&a))?, vec![true, false, false])?;
        equal("to bool", falsehood(a.to_dtype(DType::Bool))?, vec![true, true, true])?;
    }
    Ok(())
}

fn rows_without_weight(device: &Device) -> Verdict {
    let never = f32::NEG_INFINITY;
    let x = Tensor::from_slice(&[0.0, never, never, 1e30, 1e30, never], [2, 3], device).map_err(say)?;
    equal("softmax", f32s(x.softmax(-1))?, vec![1.0, 0.0, 0.0, 0.5, 0.5, 0.0])?;
    equal("log_softmax", f32s(x.log_softmax(-1))?[..3].to_vec(), vec![0.0, never, never])
}

fn ignored_rows_have_no_part(device: &Device) -> Verdict {
    let x = Tensor::from_slice(&[0.5f32, 1.0, f32::NAN, f32::NAN], [2, 2], device)
        .and_then(|t| t.requires_grad())
        .map_err(say)?;
    let classes = Tensor::from_slice(&[1i64, -100], 2, device).map_err(say)?;
    let losses = x.cross_entropy(&classes, -100).map_err(say)?;
    equal("the ignored loss", f32s(Ok(losses.detach()))?[1], 0.0)?;
    let grads = losses.sum_all().and_then(|l| l.backward()).map_err(say)?;
    let grad = f32s(grads.require(&x).cloned())?;
    equal("the ignored gradients", grad[2..].to_vec(), vec![0.0, 0.0])?;
    if grad[..2].iter().any(|g| !g.is_finite()) {
        return Err(format!("the other gradients are {:?}", &grad[..2]));
    }
    Ok(())
}

fn flat_parts_have_no_gradient(device: &Device) -> Verdict {
    let x = Tensor::from_slice(&[-1.0f32, 2.0], 2, device).and_then(|t| t.requires_grad()).map_err(say)?;
    let up = Tensor::from_slice(&[f32::INFINITY, 1.0], 2, device).map_err(say)?;
    for (name, y) in [("relu", x.relu()), ("clamp", x.clamp(0.0, 3.0))] {
        let grads = y.and_then(|y| y.backward_with(&up)).map_err(say)?;
        equal(name, f32s(grads.require(&x).cloned())?, vec![0.0, 1.0])?;
    }
    // What is dropped is dropped, an infinity too.
    let many = Tensor::full(64, f32::INFINITY, DType::F32, device).map_err(say)?;
    let kept = f32s(many.dropout(0.5, RandomKey { seed: 1, stream: 1 }))?;
    if kept.iter().any(|v| v.is_nan()) || !kept.contains(&0.0) {
        return Err("a dropped infinity is not 0".to_owned());
    }
    Ok(())
}

fn bad_indices_are_named(device: &Device) -> Verdict {
    let x = Tensor::zeros([3, 2], DType::F32, device).map_err(say)?;
    for bad in [3i64, -1, i64::MAX, i64::MIN] {
        let index = Tensor::from_slice(&[0, bad], 2, device).map_err(say)?;
        // A device that checks in its kernels may only tell when it is waited for.
        match x.index_select(0, &index).and_then(|t| t.to_vec::<f32>()) {
            Err(e) if e.kind() == ErrorKind::Index && e.to_string().contains(&bad.to_string()) => {}
            Err(e) => return Err(format!("index {bad}: {e}")),
            Ok(_) => return Err(format!("index {bad} was accepted")),
        }
    }
    Ok(())
}

fn threads_share_a_device(device: &Device) -> Verdict {
    let work = |salt: u64| -> Result<Vec<f32>> {
        let x = Tensor::randn([40, 40], RandomKey { seed: salt, stream: 0 }, DType::F32, device)?;
        let mut y = x.clone();
        for _ in 0..5 {
            y = y.matmul(&x)?.tanh()?;
        }
        y.to_vec()
    };
    let alone: Vec<_> = (0..4).map(work).collect::<Result<_>>().map_err(say)?;
    let together: Vec<_> = std::thread::scope(|s| {
        let threads: Vec<_> = (0..4).map(|i| s.spawn(move || work(i))).collect();
        threads
            .into_iter()
            .map(|t| t.join().map_err(|_| "a thread panicked".to_owned())?.map_err(say))
            .collect::<std::result::Result<_, _>>()
    })?;
    if alone == together { Ok(()) } else { Err("results differ when threads share the device".to_owned()) }
}

fn properties_are_sane(device: &Device) -> Verdict {
    let properties = device.kernels().properties();
    if properties.name.is_empty() || properties.dtypes.is_empty() {
        return Err(format!("a name and element types are missing: {properties:?}"));
    }
    let missing = |op: &&OpKind| device.kernels().supports(**op, &[DType::F32]) == crate::backend::Support::Unsupported;
    match OpKind::ALL.iter().find(missing) {
        Some(op) => Err(format!("{op} is not supported for f32, which every device has to have")),
        None => Ok(()),
    }
}
