// libtorch itself: errors, memory, switches.
#include "shim.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <cstring>
#include <mutex>

namespace {
thread_local std::string last_error;

// Two pinned buffers through which large blocks go to a GPU: while one travels the other is filled. Bytes are read once from
// where they are, a mapped file for example, and never held a second time as a whole.
class Staging {
public:
  void upload(const at::Tensor &to, const char *from, size_t bytes) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto target = to.view({-1}).view(at::kByte);
    for (size_t done = 0, turn = 0; done < bytes; ++turn) {
      auto &half = halves_[turn % 2];
      const size_t part = std::min(kBytes, bytes - done);
      half.ready();
      std::memcpy(half.pinned.data_ptr(), from + done, part);
      target.narrow(0, done, part).copy_(half.pinned.narrow(0, 0, part), /*non_blocking=*/true);
      half.sent(to.device());
      done += part;
    }
  }

private:
  static constexpr size_t kBytes = size_t{16} << 20;

  struct Half {
    at::Tensor pinned;
    std::optional<c10::Event> travelled;

    // Waits until what was in it has arrived.
    void ready() {
      if (!pinned.defined())
        pinned = at::empty({static_cast<int64_t>(kBytes)}, at::TensorOptions().dtype(at::kByte).pinned_memory(true));
      if (travelled)
        travelled->synchronize();
    }

    void sent(c10::Device device) {
      c10::impl::VirtualGuardImpl guard(device.type());
      travelled.emplace(device.type());
      travelled->record(guard.getStream(device));
    }
  };

  std::mutex mutex_;
  Half halves_[2];
};

// Never destroyed: the driver may be gone before the end of the program.
Staging &staging() {
  static Staging *made = new Staging;
  return *made;
}

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

// Brings bytes of the host to a contiguous tensor of a GPU, through pinned memory and without waiting for the last of them.
int vlm_upload(vlm_tensor to, const void *from, size_t bytes) {
  return vlm_guard([&] { staging().upload(*to, static_cast<const char *>(from), bytes); });
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
