// Times one kernel call, and the machine's own ceiling in the same process with the same kernels
// and threads.
//
// A benchmark gives the name of its call, the operations or bytes that it needs, and its operands:
//
//   TimeKernel(timing, {
//       .name = "linear_forward/m:1024/n:768/k:768",
//       .limits = {...},
//       .ceiling = Ceiling::kMatMulRate,
//       .work = LinearFlops({1024, 768, 768}),
//       .prepare = [](Operands& operands) {
//         const LinearForwardArgs args = {.x = operands.Activation({1024, 768}), ...};
//         return KernelCall{[=](Kernels& kernels) { kernels.LinearForward(args); }, {args.out}};
//       }});
//
// Before timing the call runs twice and its result is checked: an element that is not finite, or a
// result of zeros only, is an error, and nothing is timed.  What is printed: docs/metrics.md; where
// MeasuresCeilings (bench/harness/ceilings_flag.h) is false, nothing about a ceiling.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bench/harness/run_benchmarks.h"
#include "core/backend/backend.h"
#include "core/kernels/causal_attention/attention_implementation.h"

namespace sluice {

// The tensors of one benchmark on its device. Inputs are uniform in [-1, 1).
class Operands {
 public:
  Operands(Device& device, Precision precision) : device_(&device), precision_(precision) {}

  // Counts bytes only: the tensors have no memory.
  explicit Operands(Precision precision) : precision_(precision) {}

  int64_t num_bytes() const { return num_bytes_; }
  int64_t max_elements() const { return max_elements_; }  // of the largest tensor

  // Activations and matmul weights have the storage type of the precision, statistics and
  // layer-norm parameters its accumulator type.
  Tensor Activation(Shape shape) { return Random(StorageDType(precision_), shape); }
  Tensor Accumulator(Shape shape) { return Random(AccumulatorDType(precision_), shape); }

 private:
  Tensor Random(DType dtype, Shape shape);

  Device* device_ = nullptr;
  Precision precision_;
  std::vector<Buffer> buffers_;
  int64_t num_bytes_ = 0;
  int64_t max_elements_ = 0;
};

struct KernelCall {
  std::function<void(Kernels&)> run;
  std::vector<Tensor> results;
};

// The rate that a kernel is compared with.
enum class Ceiling : uint8_t {
  kMatMulRate,  // operations per second of a large square LinearForward (bench/harness/ceiling.h)
  kCopyRate,    // bytes per second of a scaled copy that moves as many bytes as the kernel
};

struct KernelBenchmark {
  std::string name;
  KernelLimits limits;
  Ceiling ceiling = Ceiling::kMatMulRate;
  int64_t work = 0;  // operations for kMatMulRate, bytes read and written for kCopyRate
  std::optional<CausalAttentionImplementation> attention;  // on cuda; nothing: its own choice
  std::function<KernelCall(Operands&)> prepare;
};

struct KernelTiming {
  BackendOptions backend;
  int64_t n_steps = 50;  // timed calls
  double warmup_s = 0;   // minimum duration of the untimed calls just before them

  // MeasureMatmulRate of the backend, for benchmarks with Ceiling::kMatMulRate.
  std::optional<double> matmul_flops_per_s;
};

// Throws Error unless the device has the kernel of the benchmark and memory for its operands and
// workspace. On the CPU this includes the float64 values from which the operands are drawn.
void CheckCanRun(const KernelTiming& timing, const KernelBenchmark& benchmark);

// Makes a backend and operands and times the call n_steps times; the counters are those of
// docs/metrics.md.  Throws Error when the result is not finite or zeros only.
Samples TimeKernel(const KernelTiming& timing, const KernelBenchmark& benchmark);

}  // namespace sluice
