#include "bench/kernels/kernel_benchmark.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <span>

#include "bench/harness/calibration.h"
#include "bench/harness/ceiling.h"
#include "bench/harness/ceilings_flag.h"
#include "bench/harness/counted.h"
#include "bench/harness/cpu_contention.h"
#include "bench/harness/process_usage.h"
#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "core/base/median.h"
#include "core/base/rng.h"
#include "core/device/device_monitor.h"
#include "core/tensor/convert.h"

namespace sluice {
namespace {

constexpr const char* kOperandBytes = "the operands' bytes";
constexpr int kNumWarmUps = 2;
constexpr int kNumCopies = 5;

double TimeOnce(StreamTimer& timer, const std::function<void()>& call) {
  timer.Begin();
  call();
  timer.End();
  return static_cast<double>(timer.ElapsedNs()) * 1e-9;
}

// The ceiling of what only moves bytes, in bytes per second, the fastest of a few runs of dz =
// scale * r of LossBackward: one tensor read and one written, `num_bytes` together.
double CopyRate(Backend& backend, Precision precision, int64_t num_bytes) {
  Operands operands(*backend.device, precision);
  const int64_t element_bytes =
      SizeOf(AccumulatorDType(precision)) + SizeOf(StorageDType(precision));
  const int64_t size = std::max<int64_t>(1, num_bytes / element_bytes);
  const LossBackwardArgs args = {
      .r = operands.Accumulator({size, 1}), .scale = 0.5, .dz = operands.Activation({size, 1})};
  const auto copy = [&] { backend.kernels->LossBackward(args); };
  const std::unique_ptr<StreamTimer> timer = backend.stream->MakeTimer();
  double fastest_s = TimeOnce(*timer, copy);
  for (int i = 1; i < kNumCopies; ++i) fastest_s = std::min(fastest_s, TimeOnce(*timer, copy));
  return static_cast<double>(size * element_bytes) / fastest_s;
}

// The sum of all elements of the results.  Throws Error where one is not finite or all are zero.
double Checksum(Device& device, const KernelCall& call) {
  double sum = 0, magnitude = 0;
  for (const Tensor& result : call.results) {
    std::vector<char> bytes(static_cast<size_t>(result.num_bytes()));
    device.CopyToHost(bytes.data(), result.data(), result.num_bytes());
    std::vector<double> values(static_cast<size_t>(result.num_elements()));
    ConvertTo(values, Tensor(bytes.data(), result.dtype(), result.shape()));
    for (const double value : values) {
      sum += value;
      magnitude += std::abs(value);
    }
  }
  if (!std::isfinite(magnitude) || magnitude == 0) {
    throw Error("the result is not finite, or all of it is zero; nothing was timed");
  }
  return sum;
}

std::map<std::string, double> Counters(const KernelBenchmark& benchmark,
                                       const std::vector<double>& elapsed_s,
                                       std::optional<double> ceiling_rate) {
  const double median_s = Median(elapsed_s);
  const double rate = static_cast<double>(benchmark.work) / median_s;
  const bool is_matmul = benchmark.ceiling == Ceiling::kMatMulRate;
  std::map<std::string, double> counters = {
      {"median_ms", median_s * 1e3},
      {"min_ms", *std::min_element(elapsed_s.begin(), elapsed_s.end()) * 1e3},
      {"max_ms", *std::max_element(elapsed_s.begin(), elapsed_s.end()) * 1e3},
      {is_matmul ? "flops_per_s" : "bytes_per_s", rate}};
  if (ceiling_rate.has_value()) {
    counters[is_matmul ? "ceiling_flops_per_s" : "ceiling_bytes_per_s"] = *ceiling_rate;
    counters["share_of_ceiling"] = rate / *ceiling_rate;
  }
  return counters;
}

BackendOptions BackendFor(const KernelTiming& timing, const KernelBenchmark& benchmark) {
  BackendOptions options = timing.backend;
  options.attention = benchmark.attention;
  return options;
}

}  // namespace

Tensor Operands::Random(DType dtype, Shape shape) {
  const int64_t num_elements = shape.num_elements();
  num_bytes_ = CheckedSum(kOperandBytes, num_bytes_,
                          CheckedProduct(kOperandBytes, {num_elements, SizeOf(dtype)}));
  max_elements_ = std::max(max_elements_, num_elements);
  if (device_ == nullptr) return Tensor(nullptr, dtype, shape);
  const auto size = static_cast<size_t>(num_elements);
  std::vector<double> values(size);
  RandomStream(/*seed=*/1, fmt::format("operand {}", buffers_.size())).FillUniform(0, values);
  std::vector<char> bytes(size * static_cast<size_t>(SizeOf(dtype)));
  const Tensor host(bytes.data(), dtype, shape);
  ConvertFrom(host, std::span<const double>(values));
  buffers_.push_back(device_->Allocate(host.num_bytes(), "an operand of a kernel benchmark"));
  device_->CopyFromHost(buffers_.back().data(), bytes.data(), host.num_bytes());
  return Tensor(buffers_.back().data(), dtype, shape);
}

void CheckCanRun(const KernelTiming& timing, const KernelBenchmark& benchmark) {
  const Backend backend = MakeBackend(BackendFor(timing, benchmark));
  Operands operands(timing.backend.precision);
  benchmark.prepare(operands);
  int64_t needed_bytes = CheckedSum(kOperandBytes, operands.num_bytes(),
                                    backend.kernels->WorkspaceBytes(benchmark.limits));
  if (backend.device->kind() == DeviceKind::kCpu) {
    const auto drawn_bytes =
        CheckedProduct(kOperandBytes, {operands.max_elements(), 2, int64_t{sizeof(double)}});
    needed_bytes = CheckedSum(kOperandBytes, needed_bytes, drawn_bytes);
  }
  if (needed_bytes <= backend.device->available_bytes()) return;
  throw Error(
      fmt::format("out of memory on {}: {} needs {}, have {}; use a smaller model, batch "
                  "or slice",
                  Name(backend.device->kind()), benchmark.name, FormatBytes(needed_bytes),
                  FormatBytes(backend.device->available_bytes())));
}

Samples TimeKernel(const KernelTiming& timing, const KernelBenchmark& benchmark) {
  Backend backend = MakeBackend(BackendFor(timing, benchmark));
  backend.kernels->Reserve(benchmark.limits);
  std::optional<double> ceiling_rate = timing.matmul_flops_per_s;
  if (benchmark.ceiling == Ceiling::kCopyRate && MeasuresCeilings()) {
    ceiling_rate = CopyRate(backend, timing.backend.precision, benchmark.work);
  }
  Operands operands(*backend.device, timing.backend.precision);
  const KernelCall call = benchmark.prepare(operands);
  for (int i = 0; i < kNumWarmUps; ++i) call.run(*backend.kernels);
  backend.stream->Synchronize();
  const double checksum = Checksum(*backend.device, call);

  const std::unique_ptr<StreamTimer> timer = backend.stream->MakeTimer();
  const auto num_steps = static_cast<size_t>(timing.n_steps);
  Samples samples = {.elapsed_s = std::vector<double>(num_steps),
                     .cpu_s = std::vector<double>(num_steps)};
  for (double elapsed_s = 0; elapsed_s < timing.warmup_s;) {
    elapsed_s += TimeOnce(*timer, [&] { call.run(*backend.kernels); });
  }
  Calibration calibration;
  const bool is_cpu = timing.backend.kind == DeviceKind::kCpu;
  const std::unique_ptr<DeviceMonitor> monitor = backend.device->MakeMonitor();
  const ContentionMeter meter;
  if (monitor != nullptr) monitor->Start();
  for (size_t i = 0; i < num_steps; ++i) {
    if (is_cpu) samples.calibration_cpu_s.push_back(calibration.CpuSeconds());
    const double begin_cpu_s = ProcessCpuSeconds();
    samples.elapsed_s[i] =
        TimeOnce(*timer, [&] { RunCounted([&] { call.run(*backend.kernels); }); });
    samples.cpu_s[i] = ProcessCpuSeconds() - begin_cpu_s;
  }
  if (monitor != nullptr) samples.conditions = monitor->Stop();
  if (is_cpu) samples.contention = meter.Stop();
  samples.counters = Counters(benchmark, samples.elapsed_s, ceiling_rate);
  samples.counters["checksum"] = checksum;
  return samples;
}

}  // namespace sluice
