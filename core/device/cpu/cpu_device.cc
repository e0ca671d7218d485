#include "core/device/cpu/cpu_device.h"

#include <sys/mman.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/checked_math.h"
#include "core/device/cpu/cpu_limits.h"
#include "core/device/cpu/host_memory.h"

namespace sluice {
namespace {

class CpuGraph : public StreamGraph {
 public:
  explicit CpuGraph(std::function<void()> work) : work_(std::move(work)) {}
  void Launch() override { work_(); }

 private:
  std::function<void()> work_;
};

class CpuTimestamps : public StreamTimestamps {
 public:
  explicit CpuTimestamps(int64_t count) : times_(static_cast<size_t>(count)) {}

  void Record(int64_t index) override { times_[static_cast<size_t>(index)] = Clock::now(); }
  int64_t ElapsedNs(int64_t from, int64_t to) override {
    return std::chrono::nanoseconds(times_[static_cast<size_t>(to)] -
                                    times_[static_cast<size_t>(from)])
        .count();
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::vector<Clock::time_point> times_;
};

class CpuStream : public Stream {
 public:
  void Synchronize() override {}
  bool IsIdle() override { return true; }
  std::unique_ptr<StreamGraph> Capture(std::function<void()> work) override {
    return std::make_unique<CpuGraph>(std::move(work));
  }

  // 32 MiB of them.
  int64_t max_timestamps() const override { return int64_t{1} << 22; }
  std::unique_ptr<StreamTimestamps> MakeTimestamps(int64_t count) override {
    SLUICE_CHECK(count >= 0 && count <= max_timestamps());
    return std::make_unique<CpuTimestamps>(count);
  }
};

// Memory of a buffer starts on a page of its own, and that of a large one on a huge page's border:
// otherwise chance would say how many huge pages it has, and times would vary between processes.
constexpr int64_t kPageBytes = 4096;
constexpr int64_t kHugePageBytes = int64_t{2} << 20;

}  // namespace

CpuDevice::CpuDevice(CpuDeviceOptions options) : pool_(options.num_threads) {}

std::string CpuDevice::description() const {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown CPU";
}

int64_t CpuDevice::available_bytes() const { return AvailableHostBytes(); }

std::unique_ptr<Stream> CpuDevice::MakeStream() { return std::make_unique<CpuStream>(); }

void CpuDevice::CopyFromHost(void* to, const void* from_host, int64_t size_bytes) {
  std::memcpy(to, from_host, static_cast<size_t>(size_bytes));
}

void CpuDevice::CopyToHost(void* to_host, const void* from, int64_t size_bytes) {
  std::memcpy(to_host, from, static_cast<size_t>(size_bytes));
}

void* CpuDevice::AllocateBytes(int64_t size_bytes) {
  const bool is_huge = size_bytes >= kHugePageBytes;
  const int64_t alignment = is_huge ? kHugePageBytes : kPageBytes;
  const auto rounded = static_cast<size_t>(RoundUp(size_bytes, kPageBytes));
  void* data = nullptr;
  // Not aligned_alloc, which takes multiples of the alignment alone.
  if (posix_memalign(&data, static_cast<size_t>(alignment), rounded) != 0) return nullptr;
  if (is_huge) madvise(data, rounded, MADV_HUGEPAGE);
  return data;
}

void CpuDevice::FreeBytes(void* data, int64_t) { std::free(data); }

int NumCores() { return FindCpuLimits().num_cores(); }

}  // namespace sluice
