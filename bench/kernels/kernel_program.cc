#include "bench/kernels/kernel_program.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "core/base/parse.h"
#include "core/cli/flags.h"
#include "core/device/cpu/cpu_device.h"

namespace sluice {
namespace {

std::vector<std::string> ModelNames() {
  std::vector<std::string> names;
  for (const ModelConfig& model : NamedModels()) names.push_back(model.name);
  return names;
}

}  // namespace
}  // namespace sluice

SLUICE_CHOICE_FLAG(model, "gpt2-1hm", sluice::ModelNames(),
                   "the named model whose sizes are timed");
SLUICE_INT_FLAG(batch_size, 1, 1, 1 << 20, "sequences");
SLUICE_INT_LIST_FLAG(slice_lens, 1, 1 << 20, "tokens in a slice; default: the model's seq_len");
SLUICE_INT_LIST_FLAG(prefix_lens, 0, 1 << 20, "cached positions before it; default: 0");
SLUICE_CHOICE_FLAG(device, "cpu", (std::vector<std::string>{"cpu", "cuda"}), "where kernels run");
SLUICE_CHOICE_FLAG(dtype, "f32", (std::vector<std::string>{"f64", "f32", "tf32", "bf16", "fp16"}),
                   "what they compute in");
SLUICE_OPTIONAL_INT_FLAG(num_threads, 1, 1024, "threads on the cpu; default: all cores");
SLUICE_INT_FLAG(n_steps, 10, 1, 1'000'000, "timed calls of each kernel");

namespace sluice {
namespace {

std::vector<int64_t> ListOr(const std::string& list, int64_t otherwise) {
  if (list.empty()) return {otherwise};
  return ParseIntegerList("the list", list, {0, 1 << 20});
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
  const bool is_cpu = FLAGS_device == "cpu";
  if (!is_cpu && WasGiven("num_threads")) throw Error("--num_threads is for --device=cpu only");
  const int64_t num_threads = WasGiven("num_threads") ? FLAGS_num_threads : NumCores();
  return {.backend = {.kind = is_cpu ? DeviceKind::kCpu : DeviceKind::kCuda,
                      .precision = precision,
                      .num_threads = static_cast<int>(num_threads)},
          .n_steps = FLAGS_n_steps};
}

int RunAll(std::vector<KernelBenchmark> (*make)(const KernelSizes&)) {
  const KernelSizes sizes = SizesFromFlags();
  const KernelTiming timing = TimingFromFlags(sizes.precision);
  MakeBackend(timing.backend);  // refuses what the device lacks before anything is timed
  const std::vector<KernelBenchmark> benchmarks = make(sizes);
  if (benchmarks.empty()) throw Error("--prefix_lens must hold 0: this kernel sees no prefix");
  int64_t num_timed = 0;
  for (const KernelBenchmark& benchmark : benchmarks) {
    RegisterKernelBenchmark(timing, benchmark, &num_timed);
  }
  benchmark::RunSpecifiedBenchmarks();
  return num_timed == static_cast<int64_t>(benchmarks.size()) ? 0 : 1;
}

}  // namespace

KernelLimits KernelSizes::LimitsFor(const Slice& slice) const {
  return {.max_tokens = CheckedProduct("the number of tokens", {slice.len, batch_size}),
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

int KernelProgram(int argc, char** argv, const ProgramInfo& program,
                  std::vector<KernelBenchmark> (*make)(const KernelSizes&)) {
  return Main(argc, argv, program, [make] { return RunAll(make); });
}

}  // namespace sluice
