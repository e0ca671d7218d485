#include "bench/harness/ceiling.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "core/base/median.h"
#include "core/base/rng.h"
#include "core/tensor/convert.h"
#include "parallel/comm/rank_status.h"

namespace sluice {
namespace {

constexpr int kNumRepetitions = 10;
constexpr auto kPause = std::chrono::milliseconds(50);
constexpr int kMaxSustainedRepetitions = 2000;
constexpr int64_t kHeadDim = 64;  // every device has attention kernels for it

// Fills a matrix with random numbers, because zeros would run faster than real data on some
// devices. The numbers repeat after kNumDrawn elements.
void FillRandom(Device& device, const Tensor& matrix) {
  constexpr int64_t kNumDrawn = 1 << 20;
  constexpr int64_t kPiece = 1 << 14;  // drawn at a time, because host memory is accounted for too
  const RandomStream stream(0, "ceiling");
  const int64_t element_bytes = SizeOf(matrix.dtype());
  std::vector<double> values(kPiece);
  std::vector<char> host(static_cast<size_t>(kPiece * element_bytes));
  for (int64_t drawn = 0; drawn < std::min(kNumDrawn, matrix.num_elements()); drawn += kPiece) {
    stream.FillUniform(static_cast<uint64_t>(drawn), values);
    ConvertFrom(Tensor(host.data(), matrix.dtype(), {kPiece}), std::span<const double>(values));
    const int64_t period_bytes = kNumDrawn * element_bytes;
    for (int64_t begin = drawn * element_bytes; begin < matrix.num_bytes(); begin += period_bytes) {
      device.CopyFromHost(static_cast<char*>(matrix.data()) + begin, host.data(),
                          std::min(std::ssize(host), matrix.num_bytes() - begin));
    }
  }
}

KernelLimits LimitsOf(int64_t size) {
  return {.max_tokens = size,
          .max_seq_len = 1,
          .max_batch_size = 1,
          .hidden_size = kHeadDim,
          .num_heads = 1,
          .head_dim = kHeadDim,
          .max_features = size};
}

// A product of square matrices and its operands.
class SquareProduct {
 public:
  SquareProduct(Backend& backend, Precision precision)
      : backend_(backend), size_(CeilingMatmulSize(backend.device->kind())) {
    const DType dtype = StorageDType(precision);
    const int64_t bytes = size_ * size_ * SizeOf(dtype);
    Tensor* const tensors[] = {&x_, &weight_, &out_};
    for (Tensor* tensor : tensors) {
      buffers_.push_back(backend.device->Allocate(bytes, "a matrix of the matmul ceiling"));
      *tensor = Tensor(buffers_.back().data(), dtype, {size_, size_});
    }
    FillRandom(*backend.device, x_);
    FillRandom(*backend.device, weight_);
    backend.kernels->Reserve(LimitsOf(size_));
    TimeNs();  // chooses the algorithm
  }

  double num_flops() const { return CeilingMatmulFlops(backend_.device->kind()); }

  void Enqueue(StreamTimer& timer) {
    timer.Begin();
    backend_.kernels->LinearForward({.x = x_, .weight = weight_, .out = out_});
    timer.End();
  }

  int64_t TimeNs() {
    const std::unique_ptr<StreamTimer> timer = backend_.stream->MakeTimer();
    Enqueue(*timer);
    return timer->ElapsedNs();
  }

 private:
  Backend& backend_;
  int64_t size_;
  std::vector<Buffer> buffers_;
  Tensor x_, weight_, out_;
};

}  // namespace

int64_t CeilingMatmulSize(DeviceKind device) { return device == DeviceKind::kCpu ? 1024 : 8192; }

double MeasureMatmulRate(Backend& backend, Precision precision) {
  SquareProduct product(backend, precision);
  int64_t best_ns = std::numeric_limits<int64_t>::max();
  for (int i = 0; i < kNumRepetitions; ++i) {
    // During the pause a GPU recovers that its power limit has slowed down.
    if (backend.device->kind() != DeviceKind::kCpu) std::this_thread::sleep_for(kPause);
    best_ns = std::min(best_ns, product.TimeNs());
  }
  return product.num_flops() / (static_cast<double>(best_ns) * 1e-9);
}

double CeilingMatmulFlops(DeviceKind device) {
  const auto size = static_cast<double>(CeilingMatmulSize(device));
  return 2 * size * size * size;
}

std::vector<double> TimeMatmulRounds(Backend& backend, Precision precision,
                                     const std::function<void()>& meet) {
  SquareProduct product(backend, precision);
  std::vector<double> elapsed_s;
  meet();
  for (int i = 0; i < kNumRepetitions; ++i) {
    const int64_t begin_ns = MonotonicNs();
    product.TimeNs();
    meet();
    elapsed_s.push_back(static_cast<double>(MonotonicNs() - begin_ns) * 1e-9);
  }
  return elapsed_s;
}

SustainedRate MeasureSustainedMatmulRate(Backend& backend, Precision precision,
                                         const SustainedDurations& durations) {
  SquareProduct product(backend, precision);
  const double product_s = static_cast<double>(product.TimeNs()) * 1e-9;
  const auto num_repetitions = static_cast<size_t>(std::clamp(
      durations.timed_s / product_s, double{kNumRepetitions}, double{kMaxSustainedRepetitions}));
  std::vector<std::unique_ptr<StreamTimer>> timers;
  for (size_t i = 0; i < num_repetitions; ++i) timers.push_back(backend.stream->MakeTimer());
  SustainedRate sustained;
  const std::unique_ptr<DeviceMonitor> monitor = backend.device->MakeMonitor();
  for (double elapsed_s = 0; elapsed_s < durations.warmup_s;) {
    elapsed_s += static_cast<double>(product.TimeNs()) * 1e-9;
  }
  if (monitor != nullptr) monitor->Start();
  for (const std::unique_ptr<StreamTimer>& timer : timers) product.Enqueue(*timer);
  std::vector<double> elapsed_s;
  for (const std::unique_ptr<StreamTimer>& timer : timers) {
    elapsed_s.push_back(static_cast<double>(timer->ElapsedNs()) * 1e-9);
  }
  if (monitor != nullptr) sustained.conditions = monitor->Stop();
  sustained.flops_per_s = product.num_flops() / Median(elapsed_s);
  sustained.best_flops_per_s =
      product.num_flops() / *std::min_element(elapsed_s.begin(), elapsed_s.end());
  return sustained;
}

int64_t CeilingBytes(const BackendOptions& options) {
  const int64_t size = CeilingMatmulSize(options.kind);
  return 3 * size * size * SizeOf(StorageDType(options.precision)) +
         KernelWorkspaceBytes(options, LimitsOf(size));
}

}  // namespace sluice
