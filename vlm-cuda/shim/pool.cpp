// The CPU's memory. libtorch takes every block from the system and gives it back, which clears and maps its pages anew each
// time. This pool keeps large blocks for the next tensor of about their size, on huge pages where the system has them, and
// counts.
#include "shim.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

namespace {

constexpr size_t kAlign = 64;
constexpr size_t kHuge = size_t{2} << 20;
// Smaller blocks are the system's business, which keeps them itself.
constexpr size_t kPooled = size_t{1} << 18;
// At most so much waits for reuse.
constexpr size_t kMostWaiting = size_t{1} << 30;

// Stands before the bytes of every block.
struct alignas(kAlign) Header {
  size_t bytes; // as asked for
  size_t room;  // of the bytes behind the header
};
static_assert(sizeof(Header) == kAlign);

class Pool final : public c10::Allocator {
public:
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes == 0)
      return {nullptr, nullptr, &Pool::release, c10::Device(c10::DeviceType::CPU)};
    const size_t room = size_class(bytes);
    Header *block = room >= kPooled ? take(room) : nullptr;
    if (block) {
      reused_.fetch_add(1, std::memory_order_relaxed);
    } else {
      block = fresh(bytes, room);
    }
    block->bytes = bytes;
    const auto now = allocated_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    auto peak = peak_.load(std::memory_order_relaxed);
    while (now > peak && !peak_.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
    }
    void *data = block + 1;
    return {data, data, &Pool::release, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &Pool::release; }

  void copy_data(void *to, const void *from, size_t bytes) const override { default_copy_data(to, from, bytes); }

  // Gives all that waits back to the system.
  void trim() {
    std::lock_guard<std::mutex> lock(mutex_);
    for (auto &[room, blocks] : waiting_) {
      for (auto *block : blocks) {
        waiting_bytes_ -= room;
        reserved_.fetch_sub(room, std::memory_order_relaxed);
        std::free(block);
      }
      blocks.clear();
    }
  }

  void stats(uint64_t out[5]) const {
    out[0] = allocated_.load(std::memory_order_relaxed);
    out[1] = reserved_.load(std::memory_order_relaxed);
    out[2] = peak_.load(std::memory_order_relaxed);
    out[3] = reused_.load(std::memory_order_relaxed) + fresh_.load(std::memory_order_relaxed);
    out[4] = fresh_.load(std::memory_order_relaxed);
  }

private:
  // Up to the next eighth of a power of two: at most an eighth is wasted, and blocks fit again.
  static size_t size_class(size_t bytes) {
    if (bytes < kPooled)
      return (bytes + kAlign - 1) / kAlign * kAlign;
    size_t step = kPooled / 8;
    while (step * 16 <= bytes)
      step *= 2;
    return (bytes + step - 1) / step * step;
  }

  Header *take(size_t room) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = waiting_.find(room);
    if (found == waiting_.end() || found->second.empty())
      return nullptr;
    auto *block = found->second.back();
    found->second.pop_back();
    waiting_bytes_ -= room;
    return block;
  }

  Header *fresh(size_t bytes, size_t room) {
    const bool huge = room >= 2 * kHuge;
    const size_t whole = room + sizeof(Header);
    void *memory = nullptr;
    // Sizes beyond any memory are refused here; others by the system, after what waits was given back.
    const bool absurd = bytes > (size_t{1} << 47);
    if (!absurd && posix_memalign(&memory, huge ? kHuge : kAlign, whole) != 0) {
      trim();
      memory = nullptr;
      if (posix_memalign(&memory, huge ? kHuge : kAlign, whole) != 0)
        memory = nullptr;
    }
    if (!memory)
      C10_THROW_ERROR(OutOfMemoryError, "the CPU's memory does not suffice: tried to allocate " +
                                            std::to_string(bytes) + " bytes");
    if (huge)
      (void)madvise(memory, whole / kHuge * kHuge, MADV_HUGEPAGE);
    auto *block = static_cast<Header *>(memory);
    block->room = room;
    fresh_.fetch_add(1, std::memory_order_relaxed);
    reserved_.fetch_add(room, std::memory_order_relaxed);
    return block;
  }

  static void release(void *data);

  void give_back(Header *block) {
    allocated_.fetch_sub(block->bytes, std::memory_order_relaxed);
    const size_t room = block->room;
    if (room >= kPooled) {
      std::lock_guard<std::mutex> lock(mutex_);
      if (waiting_bytes_ + room <= kMostWaiting) {
        waiting_[room].push_back(block);
        waiting_bytes_ += room;
        return;
      }
    }
    reserved_.fetch_sub(room, std::memory_order_relaxed);
    std::free(block);
  }

  std::mutex mutex_;
  std::map<size_t, std::vector<Header *>> waiting_;
  size_t waiting_bytes_ = 0;
  std::atomic<uint64_t> allocated_{0}, reserved_{0}, peak_{0}, reused_{0}, fresh_{0};
};

// Never destroyed: tensors may outlive main.
Pool &pool() {
  static Pool *made = new Pool;
  return *made;
}

void Pool::release(void *data) {
  if (data)
    pool().give_back(static_cast<Header *>(data) - 1);
}

} // namespace

extern "C" {

// From now on tensors of the CPU are made by the pool; those made before go back where they came from.
int vlm_pool_install() {
  return vlm_guard([] { c10::SetCPUAllocator(&pool(), /*priority=*/1); });
}

void vlm_pool_stats(uint64_t out[5]) { pool().stats(out); }

void vlm_pool_trim() { pool().trim(); }

} // extern "C"
