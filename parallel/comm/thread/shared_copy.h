// A copy of bytes that one thread makes, and a second may join while it lasts.
//
//   copy.Begin(to, from, size_bytes);                  // one thread
//   ... tells the other ...
//   if (copy.Work(SharedCopy::End::kFront)) ...        // both, each from its own end
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sluice::internal {

// The bytes are divided into parts, which are taken one by one until none is left.  Who begins has
// the first part of its own end, so that nothing is done before it has worked, and the copy may be
// used anew once a Work has returned true.
class SharedCopy {
 public:
  // A thread that always works from the same end of the same buffers finds its parts of them in its
  // own cache.
  enum class End : uint8_t { kFront, kBack };

  void Begin(void* to, const void* from, int64_t size_bytes) {
    to_ = static_cast<std::byte*>(to);
    from_ = static_cast<const std::byte*>(from);
    size_bytes_ = size_bytes;
    num_taken_.store(1, std::memory_order_relaxed);
    num_copied_.store(0, std::memory_order_relaxed);
  }

  int64_t num_parts() const {
    return std::max<int64_t>(1, (size_bytes_ + kPartBytes - 1) / kPartBytes);
  }

  // Called by the thread that began.  As below.
  bool WorkFirst(End end) { return WorkOn(end, 1); }

  // Copies parts until none is left.  Returns true to one caller alone, the one after whose parts
  // all bytes are copied; to the other the copy is gone when this returns false.
  bool Work(End end) { return WorkOn(end, 0); }

 private:
  // Long beside an atomic addition, short beside what one copy takes.
  static constexpr int64_t kPartBytes = 1 << 16;

  bool WorkOn(End end, int64_t num_own) {
    const int64_t count = num_parts();
    for (int64_t i = 0; i < num_own; ++i) CopyPart(end == End::kFront ? i : count - 1 - i);
    while (num_taken_.fetch_add(1, std::memory_order_relaxed) < count) {
      CopyPart(end == End::kFront ? num_own : count - 1 - num_own);
      ++num_own;
    }
    if (num_own == 0) return false;
    return num_copied_.fetch_add(num_own, std::memory_order_acq_rel) + num_own == count;
  }

  void CopyPart(int64_t index) {
    const int64_t begin = index * kPartBytes;
    const int64_t size = std::min(kPartBytes, size_bytes_ - begin);
    if (size > 0) std::memcpy(to_ + begin, from_ + begin, static_cast<size_t>(size));
  }

  std::byte* to_ = nullptr;
  const std::byte* from_ = nullptr;
  int64_t size_bytes_ = 0;
  std::atomic<int64_t> num_taken_{0};
  std::atomic<int64_t> num_copied_{0};
};

}  // namespace sluice::internal
