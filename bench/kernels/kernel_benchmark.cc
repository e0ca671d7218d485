#include "bench/kernels/kernel_benchmark.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <span>

#include "bench/harness/flops.h"
#include "core/base/rng.h"
#include "core/tensor/convert.h"

namespace sluice {
namespace {

constexpr int kNumWarmUps = 2;
constexpr int kNumCeilingRuns = 5;

// Extents of the square product whose rate is the ceiling: large enough for each device's best.
int64_t CeilingExtent(DeviceKind kind) { return kind == DeviceKind::kCpu ? 1024 : 8192; }

int64_t TimeNs(Backend& backend, StreamTimer& timer, const KernelCall& call) {
  timer.Begin();
  call.run(*backend.kernels);
  timer.End();
  return timer.ElapsedNs();
}

// Times of `count` calls, ascending.
std::vector<int64_t> SortedTimesNs(Backend& backend, const KernelCall& call, int64_t count) {
  const std::unique_ptr<StreamTimer> timer = backend.stream->MakeTimer();
  std::vector<int64_t> times_ns;
  for (int64_t i = 0; i < count; ++i) times_ns.push_back(TimeNs(backend, *timer, call));
  std::sort(times_ns.begin(), times_ns.end());
  return times_ns;
}

// The two ceilings, each the fastest of a few runs, in work per nanosecond.
double MatMulRate(Backend& backend, Precision precision) {
  Operands operands(*backend.device, precision);
  const int64_t extent = CeilingExtent(backend.device->kind());
  const LinearForwardArgs args = {.x = operands.Activation({extent, extent}),
                                  .weight = operands.Activation({extent, extent}),
                                  .out = operands.Activation({extent, extent})};
  const KernelCall call = {[=](Kernels& kernels) { kernels.LinearForward(args); }, {}};
  const int64_t fastest_ns = SortedTimesNs(backend, call, kNumCeilingRuns).front();
  return static_cast<double>(LinearFlops({extent, extent, extent})) /
         static_cast<double>(fastest_ns);
}

// dz = scale * r of LossBackward: one tensor read and one written, `num_bytes` together.
double CopyRate(Backend& backend, Precision precision, int64_t num_bytes) {
  Operands operands(*backend.device, precision);
  const int64_t element_bytes =
      SizeOf(AccumulatorDType(precision)) + SizeOf(StorageDType(precision));
  const int64_t size = std::max<int64_t>(1, num_bytes / element_bytes);
  const LossBackwardArgs args = {
      .r = operands.Accumulator({size, 1}), .scale = 0.5, .dz = operands.Activation({size, 1})};
  const KernelCall call = {[=](Kernels& kernels) { kernels.LossBackward(args); }, {}};
  const int64_t fastest_ns = SortedTimesNs(backend, call, kNumCeilingRuns).front();
  return static_cast<double>(size * element_bytes) / static_cast<double>(fastest_ns);
}

// The sum of all elements of the results; absent where one is not finite or all are zero.
std::optional<double> Checksum(Device& device, const KernelCall& call) {
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
  if (!std::isfinite(magnitude) || magnitude == 0) return std::nullopt;
  return sum;
}

void SetCounters(benchmark::State& state, const KernelBenchmark& benchmark,
                 const std::vector<int64_t>& sorted_times_ns, double ceiling_rate) {
  const auto median_ns = static_cast<double>(sorted_times_ns[sorted_times_ns.size() / 2]);
  const double rate = static_cast<double>(benchmark.work) / median_ns;
  const bool is_matmul = benchmark.ceiling == Ceiling::kMatMulRate;
  state.counters["median_ns"] = median_ns;
  state.counters["min_ns"] = static_cast<double>(sorted_times_ns.front());
  state.counters["max_ns"] = static_cast<double>(sorted_times_ns.back());
  state.counters[is_matmul ? "flops_per_s" : "bytes_per_s"] = rate * 1e9;
  state.counters[is_matmul ? "ceiling_flops_per_s" : "ceiling_bytes_per_s"] = ceiling_rate * 1e9;
  state.counters["share_of_ceiling"] = rate / ceiling_rate;
}

// Returns whether the kernel was timed.
bool Time(benchmark::State& state, const KernelTiming& timing, const KernelBenchmark& benchmark) {
  Backend backend = MakeBackend(timing.backend);
  backend.kernels->Reserve(benchmark.limits);
  const Precision precision = timing.backend.precision;
  const double ceiling_rate = benchmark.ceiling == Ceiling::kMatMulRate
                                  ? MatMulRate(backend, precision)
                                  : CopyRate(backend, precision, benchmark.work);
  Operands operands(*backend.device, precision);
  const KernelCall call = benchmark.prepare(operands);
  for (int i = 0; i < kNumWarmUps; ++i) call.run(*backend.kernels);
  backend.stream->Synchronize();
  const std::optional<double> checksum = Checksum(*backend.device, call);
  if (!checksum.has_value()) {
    state.SkipWithError("the result is not finite, or all of it is zero");
    return false;
  }
  const std::unique_ptr<StreamTimer> timer = backend.stream->MakeTimer();
  std::vector<int64_t> times_ns;
  times_ns.reserve(static_cast<size_t>(timing.n_steps));
  for ([[maybe_unused]] auto _ : state) {
    times_ns.push_back(TimeNs(backend, *timer, call));
    state.SetIterationTime(static_cast<double>(times_ns.back()) * 1e-9);
  }
  std::sort(times_ns.begin(), times_ns.end());
  SetCounters(state, benchmark, times_ns, ceiling_rate);
  state.counters["checksum"] = *checksum;
  return true;
}

}  // namespace

Tensor Operands::Random(DType dtype, Shape shape) {
  const auto size = static_cast<size_t>(shape.num_elements());
  std::vector<double> values(size);
  RandomStream(/*seed=*/1, fmt::format("operand {}", buffers_.size())).FillUniform(0, values);
  std::vector<char> bytes(size * static_cast<size_t>(SizeOf(dtype)));
  const Tensor host(bytes.data(), dtype, shape);
  ConvertFrom(host, std::span<const double>(values));
  buffers_.push_back(device_.Allocate(host.num_bytes(), "an operand of a kernel benchmark"));
  device_.CopyFromHost(buffers_.back().data(), bytes.data(), host.num_bytes());
  return Tensor(buffers_.back().data(), dtype, shape);
}

void RegisterKernelBenchmark(const KernelTiming& timing, const KernelBenchmark& benchmark,
                             int64_t* num_timed) {
  const std::string name = fmt::format("kernel:{}/device:{}/dtype:{}", benchmark.name,
                                       Name(timing.backend.kind), Name(timing.backend.precision));
  benchmark::RegisterBenchmark(name.c_str(),
                               [=](benchmark::State& state) {
                                 if (Time(state, timing, benchmark)) ++*num_timed;
                               })
      ->Iterations(timing.n_steps)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

}  // namespace sluice
