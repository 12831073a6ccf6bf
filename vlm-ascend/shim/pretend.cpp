// For tests only: a torch_npu that is none. It registers a backend for PrivateUse1 whose two devices are the host's memory,
// and has the entry points that a torch_npu built for C++ has. What the shim does with a backend can be tested with it,
// and nothing that a real one computes.
#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/CPUFallback.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

namespace {
constexpr auto kNpu = c10::DeviceType::PrivateUse1;
thread_local c10::DeviceIndex current = 0;
std::atomic<int> started{-1};

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kNpu; }
  c10::Device exchangeDevice(c10::Device d) const override {
    const auto before = getDevice();
    setDevice(d);
    return before;
  }
  c10::Device getDevice() const override { return c10::Device(kNpu, current); }
  void setDevice(c10::Device d) const override { current = d.index(); }
  void uncheckedSetDevice(c10::Device d) const noexcept override { current = d.index(); }
  c10::Stream getStream(c10::Device d) const override { return c10::Stream(c10::Stream::DEFAULT, d); }
  c10::Stream exchangeStream(c10::Stream s) const override { return s; }
  c10::DeviceIndex deviceCount() const noexcept override { return 2; }
  void synchronizeDevice(c10::DeviceIndex) const override {}
};

struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(size_t n) override {
    TORCH_CHECK_WITH(OutOfMemoryError, n < (size_t{1} << 40), "NPU out of memory. Tried to allocate ", n, " bytes");
    void *p = std::malloc(n ? n : 1);
    return {p, p, &std::free, c10::Device(kNpu, current)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void *to, const void *from, size_t n) const override { std::memcpy(to, from, n); }
};

Allocator allocator;
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)
const bool registered = (c10::SetAllocator(kNpu, &allocator), true);

at::Tensor empty(c10::IntArrayRef sizes, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>,
                 std::optional<c10::Device> d, std::optional<bool>, std::optional<c10::MemoryFormat> format) {
  const c10::OptionalDeviceGuard on(d);
  return at::Tensor(at::detail::empty_generic(sizes, &allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                              dtype.value_or(c10::ScalarType::Float), format));
}

at::Tensor empty_strided(c10::IntArrayRef sizes, c10::IntArrayRef strides, std::optional<c10::ScalarType> dtype,
                         std::optional<c10::Layout>, std::optional<c10::Device> d, std::optional<bool>) {
  const c10::OptionalDeviceGuard on(d);
  return at::Tensor(at::detail::empty_strided_generic(sizes, strides, &allocator,
                                                      c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                                      dtype.value_or(c10::ScalarType::Float)));
}

at::Tensor copy_from(const at::Tensor &from, const at::Tensor &to, bool) {
  TORCH_CHECK(from.sizes() == to.sizes() && from.is_contiguous() && to.is_contiguous(),
              "the pretended NPU copies whole tensors only");
  std::memcpy(to.data_ptr(), from.const_data_ptr(), from.nbytes());
  return to;
}

void on_the_host(const c10::OperatorHandle &op, torch::jit::Stack *stack) { at::native::cpu_fallback(op, stack); }
} // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", TORCH_FN(empty));
  m.impl("empty_strided", TORCH_FN(empty_strided));
  m.impl("_copy_from", TORCH_FN(copy_from));
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&on_the_host>()); }

namespace torch_npu {
__attribute__((visibility("default"))) void init_npu(c10::DeviceIndex index) { started = index; }
__attribute__((visibility("default"))) void finalize_npu() {
  TORCH_CHECK(started >= 0, "the pretended NPU was not started");
  started = -1;
}
} // namespace torch_npu
