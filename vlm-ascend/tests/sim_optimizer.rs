//! AdamW on the simulator: the operation of its own against core's composition and the reference device.

mod common;

use common::fused::{ONE, close, normal};
use std::sync::{Arc, PoisonError};
use vlm_ascend::AscendDevice;
use vlm_core::backend::{AdamWArgs, AdamWState, StorageRef, View};
use vlm_core::{DType, Device, Dims, Element, Layout, Tensor};

const COUNT: usize = 70;
const STEP: &str = "aclnnApplyAdamWV2";

/// The types of one parameter.
#[derive(Clone, Copy)]
struct Kind {
    param: DType,
    master: bool,
    grad: DType,
    scale: f64,
}

fn upload(device: &Device, values: &[f32], dtype: DType) -> StorageRef {
    let k = device.kernels();
    let wide = k.upload(DType::F32, f32::as_bytes(values)).unwrap();
    let layout = Layout::contiguous(Dims::from_slice(&[values.len()]));
    if dtype == DType::F32 { wide } else { k.cast(View::new(&wide, &layout), dtype).unwrap() }
}

fn values(device: &Device, storage: &StorageRef) -> Vec<f32> {
    let (k, layout) = (device.kernels(), Layout::contiguous(Dims::from_slice(&[storage.len()])));
    let wide = k.cast(View::new(storage, &layout), DType::F32).unwrap();
    let mut bytes = vec![0; 4 * wide.len()];
    k.download(&wide, 0, &mut bytes).unwrap();
    f32::from_bytes(&bytes)
}

fn random(stream: u64) -> Vec<f32> {
    let x: Tensor = normal(&[COUNT], stream);
    x.to_vec().unwrap()
}

/// Parameters, their `f32` twins and moments after three steps.
fn steps(device: &Device, kinds: &[Kind]) -> Vec<[Vec<f32>; 4]> {
    let start = |(i, kind): (usize, &Kind)| {
        let first = random(i as u64);
        let zeros = || upload(device, &[0.0; COUNT], DType::F32);
        AdamWState {
            param: upload(device, &first, kind.param),
            master: kind.master.then(|| upload(device, &first, DType::F32)),
            exp_avg: zeros(),
            exp_avg_sq: zeros(),
        }
    };
    let mut all: Vec<AdamWState> = kinds.iter().enumerate().map(start).collect();
    let layout = Layout::contiguous(Dims::from_slice(&[COUNT]));
    for step in 1..=3u64 {
        let grads: Vec<StorageRef> = kinds
            .iter()
            .enumerate()
            .map(|(i, kind)| upload(device, &random(1000 * step + i as u64), kind.grad))
            .collect();
        let args = all.into_iter().zip(kinds).zip(&grads).map(|((state, kind), grad)| AdamWArgs {
            param: state.param,
            master: state.master,
            exp_avg: state.exp_avg,
            exp_avg_sq: state.exp_avg_sq,
            grad: View::new(grad, &layout),
            lr: 1e-2,
            beta1: 0.9,
            beta2: 0.99,
            eps: 1e-8,
            weight_decay: 0.1,
            step,
            grad_scale: kind.scale,
        });
        all = device.kernels().adamw_steps(args.collect()).unwrap();
    }
    let read = |state: AdamWState| {
        let master = state.master.map_or_else(Vec::new, |m| values(device, &m));
        [values(device, &state.param), master, values(device, &state.exp_avg), values(device, &state.exp_avg_sq)]
    };
    all.into_iter().map(read).collect()
}

fn open() -> AscendDevice {
    common::simulator("schedule=random,seed=5");
    AscendDevice::open(0).unwrap()
}

/// Steps of these parameters on three devices give the same; `fused` of each round's steps are the operation of its own.
fn compare(kinds: &[Kind], fused: u64) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let on = |device: AscendDevice| {
        let device = Device::from_kernels("ascend:0", Arc::new(device));
        common::control("clear-counts");
        (steps(&device, kinds), common::report()["tasks"][STEP].as_u64().unwrap_or(0))
    };
    let (own, launched) = on(open());
    let (composed, none) = on(open().without_fused());
    assert_eq!((launched, none), (3 * fused, 0));
    let reference = steps(&Device::reference(), kinds);
    for (i, kind) in kinds.iter().enumerate() {
        // A parameter of few bits may be rounded to the neighbour.
        let of_param = if kind.param == DType::F32 { 2e-6 } else { 8e-3 };
        for other in [&composed[i], &reference[i]] {
            for (which, (a, b)) in own[i].iter().zip(other).enumerate() {
                close(a, b, if which == 0 { of_param } else { 2e-6 });
            }
        }
        let moved = own[i][0].iter().zip(random(i as u64)).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
        assert!(moved > 1e-2, "the parameter did not move");
    }
}

const PLAIN: Kind = Kind { param: DType::F32, master: false, grad: DType::F32, scale: 1.0 };

#[test]
fn sim_f32_parameters_step() {
    compare(&[PLAIN], 1);
    compare(&[Kind { scale: 0.25, ..PLAIN }], 1);
}

#[test]
fn sim_half_parameters_with_a_master_step() {
    for dtype in [DType::BF16, DType::F16] {
        let kind = Kind { param: dtype, master: true, grad: dtype, scale: 1.0 };
        compare(&[kind], 1);
        compare(&[Kind { scale: 0.5, grad: DType::F32, ..kind }], 1);
    }
}

/// A step of many parameters of several types is one call of the contract.
#[test]
fn sim_parameters_of_several_types_step_together() {
    let half = Kind { param: DType::BF16, master: true, grad: DType::BF16, scale: 0.5 };
    compare(&[PLAIN, half, Kind { scale: 3.0, ..PLAIN }, half], 4);
}

/// Without a master the operation of its own does not take half floats: they are composed, beside others that are not.
#[test]
fn sim_half_parameters_without_a_master_are_composed() {
    let alone = Kind { param: DType::BF16, master: false, grad: DType::BF16, scale: 1.0 };
    compare(&[alone, PLAIN], 1);
}

/// Storages that someone else holds stay as they are.
#[test]
fn sim_what_others_hold_is_not_written_to() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::from_kernels("ascend:0", Arc::new(open()));
    let first = random(7);
    let (param, exp_avg) = (upload(&device, &first, DType::F32), upload(&device, &[0.0; COUNT], DType::F32));
    let (grad, layout) = (upload(&device, &random(8), DType::F32), Layout::contiguous(Dims::from_slice(&[COUNT])));
    let args = AdamWArgs {
        param: param.clone(),
        master: None,
        exp_avg: exp_avg.clone(),
        exp_avg_sq: upload(&device, &[0.0; COUNT], DType::F32),
        grad: View::new(&grad, &layout),
        lr: 1e-2,
        beta1: 0.9,
        beta2: 0.99,
        eps: 1e-8,
        weight_decay: 0.0,
        step: 1,
        grad_scale: 1.0,
    };
    let done = device.kernels().adamw_step(args).unwrap();
    assert_eq!(values(&device, &param), first);
    assert_eq!(values(&device, &exp_avg), [0.0; COUNT]);
    assert_ne!(values(&device, &done.param), first);
    // The first step is of the length of the rate, in the direction of the gradient.
    let expected: Vec<f32> = first.iter().zip(random(8)).map(|(p, g)| p - 1e-2 * g.signum()).collect();
    close(&values(&device, &done.param), &expected, 1e-4);
}
