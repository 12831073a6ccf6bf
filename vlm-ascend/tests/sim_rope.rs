//! Rotary embedding on the simulator: the operation of its own against core's composition and the reference device.

mod common;

use common::fused::{ALL, ONE, close, compare, normal, outcome};
use std::sync::{Arc, PoisonError};
use vlm_ascend::AscendDevice;
use vlm_core::backend::{RopeArgs, RopeStyle, StorageRef};
use vlm_core::tensor::RopeTables;
use vlm_core::{DType, Device, Dims, Element, Layout, Result, Tensor};

const ROTATION: &[&str] = &["aclnnRotaryPositionEmbedding"];

/// Cosines and sines for `rows` batches; `first` sets the angles apart.
fn values(rows: usize, n: usize, half: usize, first: f32) -> (Vec<f32>, Vec<f32>) {
    let angle = |i: usize| first + (i / half) as f32 * 0.7 / (1.0 + (i % half) as f32);
    (0..rows * n * half).map(|i| (angle(i).cos(), angle(i).sin())).unzip()
}

fn tables(device: &Device, rows: usize, n: usize, half: usize, first: f32) -> Result<RopeTables> {
    let (cos, sin) = values(rows, n, half, first);
    let tensor = |values: &[f32]| Tensor::from_slice(values, [rows, n, half], device);
    Ok(RopeTables { cos: tensor(&cos)?, sin: tensor(&sin)? })
}

fn open() -> Device {
    common::simulator("schedule=random,seed=5");
    Device::from_kernels("ascend:0", Arc::new(AscendDevice::open(0).unwrap()))
}

/// Result and gradient, which is the rotation backwards, with `2 * half` of 16 channels rotated.
fn rotates(style: RopeStyle, rows: usize, half: usize, wanted: &[&str]) {
    let operands = [normal(&[2, 3, 5, 16], 1)];
    let body = move |t: &[Tensor]| t[0].rope(&tables(t[0].device(), rows, 5, half, 0.3)?, style);
    compare(&operands, ALL, wanted, &body);
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let here = outcome(&Device::reference(), &operands, DType::F32, &body);
    let there = outcome(&open(), &operands, DType::F32, &body);
    assert_eq!((here.len(), there.len()), (2, 2));
    here.iter().zip(&there).for_each(|(here, there)| close(there, here, 2e-5));
}

#[test]
fn sim_halves_are_rotated() {
    rotates(RopeStyle::Half, 1, 8, ROTATION);
    rotates(RopeStyle::Half, 2, 8, ROTATION);
}

#[test]
fn sim_neighbours_are_rotated() {
    rotates(RopeStyle::Interleaved, 1, 8, ROTATION);
}

#[test]
fn sim_a_part_of_the_channels_is_rotated() {
    rotates(RopeStyle::Half, 1, 4, ROTATION);
    rotates(RopeStyle::Half, 2, 3, ROTATION);
    rotates(RopeStyle::Interleaved, 1, 4, ROTATION);
}

/// The operation takes no tables that differ by batch and position for neighbours: the composition does.
#[test]
fn sim_neighbours_with_tables_of_their_own_are_composed() {
    rotates(RopeStyle::Interleaved, 2, 8, &[]);
    rotates(RopeStyle::Interleaved, 2, 4, &[]);
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = open();
    common::control("clear-counts");
    let x = normal(&[2, 3, 5, 16], 1).to_device(&device).unwrap();
    x.rope(&tables(&device, 2, 5, 8, 0.3).unwrap(), RopeStyle::Interleaved).unwrap();
    device.synchronize().unwrap();
    assert!(common::report()["tasks"][ROTATION[0]].is_null());
}

/// A head dimension that was permuted into place, as attention layers hand it over.
#[test]
fn sim_a_view_is_rotated() {
    for style in [RopeStyle::Half, RopeStyle::Interleaved] {
        compare(&[normal(&[2, 5, 3, 20], 1)], ALL, ROTATION, &move |t| {
            let heads = t[0].transpose(1, 2)?.narrow(3, 2, 16)?;
            heads.rope(&tables(t[0].device(), 1, 5, 6, 0.3)?, style)
        });
    }
}

/// Rotating there and back again gives what there was.
#[test]
fn sim_the_inverse_undoes_the_rotation() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = open();
    let k = device.kernels();
    let x: Vec<f32> = normal(&[2, 3, 5, 16], 1).to_vec().unwrap();
    for (style, half) in [(RopeStyle::Half, 8), (RopeStyle::Half, 3), (RopeStyle::Interleaved, 4)] {
        let (cos, sin) = values(1, 5, half, 0.3);
        let up = |values: &[f32]| k.upload(DType::F32, f32::as_bytes(values)).unwrap();
        let down = |s: &StorageRef| {
            let mut bytes = vec![0; s.len() * 4];
            k.download(s, 0, &mut bytes).unwrap();
            f32::from_bytes(&bytes)
        };
        let (whole, table) =
            (Layout::contiguous(Dims::from_slice(&[2, 3, 5, 16])), Layout::contiguous(Dims::from_slice(&[1, 5, half])));
        let (cos, sin, given) = (up(&cos), up(&sin), up(&x));
        let rotate = |x: &StorageRef, inverse| {
            let view = |s, layout| vlm_core::backend::View::new(s, layout);
            let args =
                RopeArgs { x: view(x, &whole), cos: view(&cos, &table), sin: view(&sin, &table), style, inverse };
            k.rope(args).unwrap()
        };
        let turned = rotate(&given, false);
        let off = down(&turned).iter().zip(&x).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
        assert!(off > 0.1, "{style:?}: nothing was rotated");
        close(&down(&rotate(&turned, true)), &x, 1e-5);
    }
}

/// The widened tables are kept by the tables they were made of: new ones, at the same address or not, are not taken for the old.
#[test]
fn sim_other_tables_are_other_angles() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (device, reference) = (open(), Device::reference());
    let x = normal(&[1, 2, 5, 16], 1);
    for round in 0..24 {
        let body = move |t: &[Tensor]| t[0].rope(&tables(t[0].device(), 1, 5, 8, round as f32 * 0.5)?, RopeStyle::Half);
        let here = outcome(&reference, std::slice::from_ref(&x), DType::F32, &body);
        let there = outcome(&device, std::slice::from_ref(&x), DType::F32, &body);
        here.iter().zip(&there).for_each(|(here, there)| close(there, here, 2e-5));
    }
}
