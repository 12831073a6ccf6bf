//! What the CPU's pool counts, and what it refuses. One test: the counters are the process's.

use std::sync::Arc;
use vlm_core::backend::HostBytes;
use vlm_core::{DType, Device, ErrorKind, Tensor};

#[test]
fn memory_is_counted_kept_and_given_back() {
    let device = Device::from_kernels("torch-cpu", Arc::new(vlm_cuda::TorchDevice::cpu().unwrap()));
    let stats = || device.kernels().memory_stats();
    let make = || Tensor::zeros([1024, 1024], DType::F32, &device).unwrap();
    let before = stats();
    let held = make();
    assert!(stats().allocated >= before.allocated + (4 << 20), "{before:?} {:?}", stats());
    drop(held);
    assert_eq!(stats().allocated, before.allocated);
    drop(make());
    assert!(stats().reused > before.reused, "the block was not used again: {:?}", stats());
    device.kernels().trim().unwrap();
    assert!(stats().reserved < 4 << 20, "{:?}", stats());

    let e = device.kernels().alloc(DType::F32, 1 << 50).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::OutOfMemory, "{e}");
    assert!(e.to_string().contains("4503599627370496 bytes"), "{e}");

    // Bytes of a file stay where they are, and are never written.
    let owner: Arc<dyn AsRef<[u8]> + Send + Sync> = Arc::new(vec![0u8; 8 << 20]);
    let bytes = HostBytes::new(owner, 0, 8 << 20).unwrap();
    let (allocated, at) = (stats().allocated, bytes.as_slice().as_ptr());
    let storage = device.kernels().adopt(DType::F32, bytes).unwrap();
    assert_eq!(stats().allocated, allocated);
    assert_eq!(device.kernels().host_bytes(&storage).unwrap().as_ptr(), at);
}
