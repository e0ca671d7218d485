#include "bench/kernels/kernel_program.h"

#include <fmt/format.h>

#include <map>

#include "bench/harness/ceiling.h"
#include "bench/harness/ceilings_flag.h"
#include "bench/harness/result_flags.h"
#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "core/base/parse.h"
#include "programs/shared_flags.h"

SLUICE_FLAG_GROUP("Sizes, device and measurement");
SLUICE_MODEL_FLAG("named model whose layer sizes are timed");
SLUICE_BATCH_SIZE_FLAG();
SLUICE_INT_LIST_FLAG(slice_lens, 1, sluice::kMaxExtent,
                     "tokens in each slice; default: the model's seq_len");
SLUICE_INT_LIST_FLAG(prefix_lens, 0, sluice::kMaxExtent,
                     "cached positions before the slice; default: 0");
SLUICE_DEVICE_FLAG();
SLUICE_DTYPE_FLAG("f32", "");
SLUICE_THREADS_FLAG("1");
SLUICE_N_STEPS_FLAG(50, "timed calls of each kernel");
SLUICE_WARMUP_S_FLAG(
    "minimum duration of the untimed calls just before the timed ones, in seconds");

namespace sluice {
namespace {

std::vector<int64_t> ListOr(const std::string& list, int64_t otherwise) {
  if (list.empty()) return {otherwise};
  return ParseIntegerList("the list", list, {0, kMaxExtent});
}

KernelSizes SizesFromFlags() {
  KernelSizes sizes = {.model = FindModel(FLAGS_model),
                       .batch_size = FLAGS_batch_size,
                       .precision = ParsePrecision(FLAGS_dtype)};
  for (const int64_t prefix_len : ListOr(FLAGS_prefix_lens, 0)) {
    for (const int64_t slice_len : ListOr(FLAGS_slice_lens, sizes.model.seq_len)) {
      sizes.slices.push_back({.begin = prefix_len, .len = slice_len});
    }
  }
  return sizes;
}

KernelTiming TimingFromFlags(Precision precision) {
  const DeviceKind device = ParseDevice(FLAGS_device);
  CheckThreadsFlag(device);
  return {.backend = {.kind = device,
                      .precision = precision,
                      .num_threads = WasGiven("threads") ? static_cast<int>(FLAGS_threads) : 1},
          .n_steps = FLAGS_n_steps,
          .warmup_s = FLAGS_warmup_s};
}

BenchmarkContext ContextOf(const KernelSizes& sizes, const KernelTiming& timing,
                           const Device& device, const std::string& default_attention) {
  BenchmarkContext context = {{"device", std::string(Name(device.kind()))},
                              {"device_name", device.description()},
                              {"model", sizes.model.name},
                              {"batch_size", std::to_string(sizes.batch_size)},
                              {"world_size", "1"},
                              {"num_threads", std::to_string(timing.backend.num_threads)},
                              {"warmup_s", fmt::format("{}", timing.warmup_s)},
                              {"ceilings", FLAGS_ceilings},
                              {"dtype", std::string(Name(sizes.precision))}};
  if (!default_attention.empty()) context.push_back({"default_attention", default_attention});
  return context;
}

constexpr const char* kRow = "{:<72} {:>10} {:>10} {:>9} {:>13} {:>13} {:>8}\n";

void PrintHeader(const KernelTiming& timing, const Device& device,
                 const std::string& default_attention) {
  fmt::print("{} ({}), {} thread(s), {}\n", Name(device.kind()), device.description(),
             timing.backend.num_threads, Name(timing.backend.precision));
  if (!default_attention.empty()) fmt::print("default attention: {}\n", default_attention);
  if (timing.matmul_flops_per_s.has_value()) {
    fmt::print("products of large square matrices: {:.1f} GFLOP/s\n",
               *timing.matmul_flops_per_s * 1e-9);
  }
  fmt::print("\n");
  fmt::print(kRow, "kernel", "ms median", "ms min", "spread", "rate", "ceiling", "reached");
}

void PrintRow(const KernelBenchmark& benchmark, std::map<std::string, double> counters) {
  const bool is_matmul = benchmark.ceiling == Ceiling::kMatMulRate;
  const auto rate = [&](const std::string& prefix) {
    return is_matmul ? fmt::format("{:.1f} GFLOP/s", counters[prefix + "flops_per_s"] * 1e-9)
                     : fmt::format("{:.2f} GB/s", counters[prefix + "bytes_per_s"] * 1e-9);
  };
  const bool has_ceiling = counters.count("share_of_ceiling") > 0;
  const double spread = (counters["max_ms"] - counters["min_ms"]) / counters["median_ms"];
  fmt::print(kRow, benchmark.name, fmt::format("{:.4f}", counters["median_ms"]),
             fmt::format("{:.4f}", counters["min_ms"]), fmt::format("{:.1f} %", 100 * spread),
             rate(""), has_ceiling ? rate("ceiling_") : "-",
             has_ceiling ? fmt::format("{:.1f} %", 100 * counters["share_of_ceiling"]) : "-");
  std::fflush(stdout);
}

// The implementation that cuda chooses by itself; empty on the cpu.
std::string DefaultAttention(const Backend& backend, const KernelSizes& sizes) {
  if (backend.device->kind() == DeviceKind::kCpu) return "";
  return std::string(backend.kernels->AttentionName(sizes.model.head_dim()));
}

// States what was requested: what the device chooses by default is in the context.
std::string FullName(const KernelBenchmark& kernel) {
  const std::string threads = FLAGS_threads > 1 ? fmt::format("/threads:{}", FLAGS_threads) : "";
  return fmt::format("kernel:{}{}/device:{}/dtype:{}", kernel.name, threads, FLAGS_device,
                     FLAGS_dtype);
}

std::vector<KernelBenchmark> KernelsOf(const KernelFamily& family, const KernelSizes& sizes) {
  std::vector<KernelBenchmark> kernels;
  for (const Slice& slice : sizes.slices) {
    if (slice.begin != 0 && family.prefix == KernelFamily::Prefix::kIgnored) continue;
    for (KernelBenchmark& kernel : family.of_slice(sizes, slice)) {
      kernel.limits = sizes.LimitsFor(slice);
      kernels.push_back(std::move(kernel));
    }
  }
  if (kernels.empty()) {
    throw Error("--prefix_lens must include 0: this kernel does not read the prefix");
  }
  return kernels;
}

int RunAll(const KernelFamily& family) {
  const KernelSizes sizes = SizesFromFlags();
  KernelTiming timing = TimingFromFlags(sizes.precision);
  // Throws Error before anything is timed where the device lacks the precision.
  Backend backend = MakeBackend(timing.backend);
  const std::vector<KernelBenchmark> kernels = KernelsOf(family, sizes);
  std::vector<Benchmark> benchmarks;
  for (const KernelBenchmark& kernel : kernels) {
    benchmarks.push_back({.name = FullName(kernel), .measure = [&] {
                            Samples samples = TimeKernel(timing, kernel);
                            PrintRow(kernel, samples.counters);
                            return samples;
                          }});
  }
  const ResultOptions result = ResultOptionsFromFlags();
  const std::string default_attention = DefaultAttention(backend, sizes);
  std::vector<std::string> names;
  for (const Benchmark& benchmark : benchmarks) names.push_back(benchmark.name);
  for (const size_t i : SelectedIndices(names, result.filter)) {
    CheckCanRun(timing, kernels[i]);
  }
  const auto before = [&] {
    if (kernels.front().ceiling == Ceiling::kMatMulRate && MeasuresCeilings()) {
      timing.matmul_flops_per_s = MeasureMatmulRate(backend, sizes.precision);
    }
    PrintHeader(timing, *backend.device, default_attention);
  };
  return RunBenchmarks(benchmarks,
                       {.result = result,
                        .context = ContextOf(sizes, timing, *backend.device, default_attention),
                        .before = before});
}

}  // namespace

int64_t KernelSizes::NumTokens(const Slice& slice) const {
  return CheckedProduct("the number of tokens", {slice.len, batch_size});
}

KernelLimits KernelSizes::LimitsFor(const Slice& slice) const {
  return {.max_tokens = NumTokens(slice),
          .max_seq_len = slice.begin + slice.len,
          .max_batch_size = batch_size,
          .hidden_size = model.hidden_size,
          .num_heads = model.num_heads,
          .head_dim = model.head_dim(),
          .max_features = model.ffn_hidden_size()};
}

std::string NameOf(const Slice& slice) {
  return fmt::format("slice_len:{}/prefix_len:{}", slice.len, slice.begin);
}

int KernelProgram(int argc, char** argv, const ProgramInfo& program, const KernelFamily& family) {
  return Main(argc, argv, program, [&family] { return RunAll(family); });
}

}  // namespace sluice
