// libtorch itself: errors, memory, switches.
#include "shim.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace {
thread_local std::string last_error;

c10::DeviceAllocator *allocator() {
  return dynamic_cast<c10::DeviceAllocator *>(c10::GetAllocator(c10::DeviceType::CUDA));
}
} // namespace

void vlm_note(const char *message) { last_error = message; }

extern "C" {

// The message of this thread's last failure, until the next one.
const char *vlm_last_error() { return last_error.c_str(); }

// How many GPUs there are. libtorch's CUDA part warns and says 0 where it finds none.
int vlm_cuda_devices(int *out) {
  return vlm_guard([&] { *out = at::detail::getCUDAHooks().deviceCount(); });
}

// What the caching allocator of a CUDA device holds: in use, reserved, most in use, requests, requests to the driver.
int vlm_memory_stats(int device, uint64_t out[5]) {
  return vlm_guard([&] {
    auto *found = allocator();
    TORCH_CHECK(found && found->initialized(), "the CUDA allocator is not there yet");
    auto stats = found->getDeviceStats(static_cast<c10::DeviceIndex>(device));
    constexpr auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    out[0] = stats.allocated_bytes[all].current;
    out[1] = stats.reserved_bytes[all].current;
    out[2] = stats.allocated_bytes[all].peak;
    out[3] = stats.allocation[all].allocated;
    out[4] = stats.segment[all].allocated;
  });
}

// Gives unused blocks back to the driver.
int vlm_empty_cache() {
  return vlm_guard([&] {
    auto *found = allocator();
    if (found && found->initialized())
      found->emptyCache();
  });
}

// Waits for all streams of a CUDA device.
int vlm_synchronize(int device) {
  return vlm_guard([&] {
    c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
    guard.synchronizeDevice(static_cast<c10::DeviceIndex>(device));
  });
}

// Free and whole memory of a CUDA device in bytes.
int vlm_memory_info(int device, uint64_t out[2]) {
  return vlm_guard([&] {
    auto *found = allocator();
    TORCH_CHECK(found, "the CUDA allocator is not there");
    auto [free, total] = found->getMemoryInfo(static_cast<c10::DeviceIndex>(device));
    out[0] = free;
    out[1] = total;
  });
}

// Matrix products of f32 with 10 bits of mantissa on tensor cores; off unless asked for.
int vlm_set_tf32(bool on) {
  return vlm_guard([&] {
    at::globalContext().setFloat32MatmulPrecision(on ? "high" : "highest");
    at::globalContext().setAllowTF32CuDNN(on);
  });
}

// Which kernels libtorch may choose for attention.
int vlm_set_attention(bool flash, bool efficient, bool cudnn, bool math) {
  return vlm_guard([&] {
    auto &context = at::globalContext();
    context.setSDPUseFlash(flash);
    context.setSDPUseMemEfficient(efficient);
    context.setSDPUseCuDNN(cudnn);
    context.setSDPUseMath(math);
  });
}

} // extern "C"
