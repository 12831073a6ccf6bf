//! Tensors of libtorch shared by threads: the claims behind `Sync`, put to the test.

use std::sync::Arc;
use vlm_core::autograd::no_grad;
use vlm_core::backend::RandomKey;
use vlm_core::{DType, Device, Result, Tensor};

fn device() -> Device {
    Device::from_kernels("torch-cpu", Arc::new(vlm_cuda::TorchDevice::cpu().unwrap()))
}

fn draw(shape: [usize; 2], stream: u64, device: &Device) -> Tensor {
    Tensor::randn(shape, RandomKey { seed: 1, stream }, DType::F32, device).unwrap()
}

/// A little network: reads `w`, which all threads share, views of it included, and makes and drops many tensors.
fn work(x: &Tensor, w: &Tensor, rounds: usize) -> Result<Vec<f32>> {
    let mut y = x.clone();
    for i in 0..rounds {
        let part = w.narrow(0, i % 8, 24)?.t()?;
        y = (y.matmul(w)?.tanh()? + &y.matmul(&part)?.sum(-1, true)?)?;
        y = y.softmax(-1)?.index_select(1, &Tensor::arange(0.0, 32.0, 1.0, DType::I64, x.device())?)?;
    }
    y.to_vec()
}

#[test]
fn threads_share_weights_and_get_the_same_numbers() {
    let device = device();
    let w = draw([32, 32], 0, &device);
    let inputs: Vec<Tensor> = (1..9).map(|i| draw([4, 32], i, &device)).collect();
    let alone: Vec<_> = inputs.iter().map(|x| no_grad(|| work(x, &w, 50)).unwrap()).collect();
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..8)
            .map(|t| {
                let (inputs, w, alone) = (&inputs, &w, &alone);
                scope.spawn(move || {
                    for round in 0..5 {
                        let i = (t + round) % inputs.len();
                        assert_eq!(no_grad(|| work(&inputs[i], w, 50)).unwrap(), alone[i], "thread {t}");
                    }
                })
            })
            .collect();
        handles.into_iter().for_each(|h| h.join().unwrap());
    });
}

#[test]
fn gradients_are_computed_in_several_threads_at_once() {
    let device = device();
    let w = draw([32, 32], 0, &device).requires_grad().unwrap();
    let step = |stream: u64| -> Vec<f32> {
        let x = draw([16, 32], stream, &device);
        let loss = x.matmul(&w).unwrap().gelu().unwrap().square().unwrap().mean_all().unwrap();
        loss.backward().unwrap().require(&w).unwrap().to_vec().unwrap()
    };
    let alone: Vec<_> = (0..6).map(step).collect();
    let together: Vec<_> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..6).map(|i| scope.spawn(move || step(i))).collect();
        handles.into_iter().map(|h| h.join().unwrap()).collect()
    });
    assert_eq!(alone, together);
}

#[test]
fn a_tensor_may_be_dropped_in_another_thread_than_it_was_made() {
    let device = device();
    let (send, receive) = std::sync::mpsc::sync_channel::<Tensor>(4);
    std::thread::scope(|scope| {
        scope.spawn(|| receive.into_iter().for_each(drop));
        for i in 0..50 {
            send.send(draw([512, 512], i, &device)).unwrap();
        }
        drop(send);
    });
    let held = device.kernels().memory_stats();
    assert!(held.reused > 0, "{held:?}");
}
