//! What libtorch throws, as a person reads it.

use std::sync::Arc;
use vlm_core::backend::{StorageRef, View};
use vlm_core::{DType, Device, Dims, ErrorKind, Layout, Tensor};

fn device() -> Device {
    Device::from_kernels("torch-cpu", Arc::new(vlm_cuda::TorchDevice::cpu().unwrap()))
}

#[test]
fn a_message_of_libtorch_is_one_line_without_its_backtrace() {
    let device = device();
    let kernels = device.kernels();
    let zeros = |n: usize| kernels.fill(DType::F32, n, 0.0.into()).unwrap();
    let (a, b) = (zeros(6), zeros(20));
    let layouts = [[2, 3], [4, 5]].map(|s| Layout::contiguous(Dims::from_slice(&s)));
    // Core would never ask for this: what comes back is libtorch's own opinion.
    let e = kernels.matmul(View::new(&a, &layouts[0]), View::new(&b, &layouts[1])).unwrap_err();
    let text = e.to_string();
    assert_eq!(e.kind(), ErrorKind::Backend);
    assert!(text.contains("2x3 and 4x5") && text.len() < 200, "{text}");
    assert!(!text.contains('\n') && !text.contains("frame") && !text.contains(".cpp"), "{text}");
}

#[test]
fn a_storage_of_another_backend_is_refused_by_name() {
    let (device, other) = (device(), Device::reference());
    let foreign: StorageRef = other.kernels().fill(DType::F32, 2, 1.0.into()).unwrap();
    let layout = Layout::contiguous(Dims::from_slice(&[foreign.len()]));
    let e = device.kernels().copy(View::new(&foreign, &layout)).unwrap_err();
    assert!(e.kind() == ErrorKind::Device && e.to_string().contains("another backend"), "{e}");

    let (ours, theirs) = (Tensor::ones(2, DType::F32, &device).unwrap(), Tensor::ones(2, DType::F32, &other).unwrap());
    let e = (&ours + &theirs).unwrap_err();
    assert!(e.kind() == ErrorKind::Device && e.to_string().contains("torch-cpu and ref"), "{e}");
}

#[test]
fn devices_that_are_not_there_are_named_with_the_remedy() {
    vlm_cuda::register().unwrap();
    assert_eq!(Device::open("torch-cpu").unwrap().name(), "torch-cpu");
    let e = Device::open("torch-cpu:3").unwrap_err().to_string();
    assert!(e.contains("number 0, not 3") && e.contains("use torch-cpu"), "{e}");
    // With GPUs it names those that are there, without what is missing.
    let e = Device::open("cuda:99").unwrap_err();
    let text = e.to_string();
    assert_eq!(e.kind(), ErrorKind::Device);
    assert!(["cuda:0", "driver", "setup libtorch --cuda"].iter().any(|w| text.contains(w)), "{text}");
}
