// The flags and the main function that all kernel benchmarks share.
//
//   int main(int argc, char** argv) {
//     return sluice::KernelProgram(argc, argv, {.purpose = ..., .example = ...},
//                                  {.of_slice = LayerNormBenchmarks});
//   }
//
// Sizes come from a named model: --model, --batch_size, --slice_lens and --prefix_lens. --device,
// --dtype, --threads and --n_steps say where and how often each kernel runs, and
// bench/harness/result_flags.h where results go. Without flags a program takes about a second on
// one thread, so that tools/perf can run it often.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/kernels/kernel_benchmark.h"
#include "core/cli/main.h"
#include "core/model/model_config.h"
#include "parallel/schedule/slices.h"

namespace sluice {

struct KernelSizes {
  ModelConfig model;
  int64_t batch_size = 1;
  std::vector<Slice> slices;  // each slice_len behind each prefix_len
  Precision precision = Precision::kFloat32;

  // Throws Error where the number overflows.
  int64_t NumTokens(const Slice& slice) const;

  // Large enough for every call on a slice.
  KernelLimits LimitsFor(const Slice& slice) const;
};

// "slice_len:128/prefix_len:896".
std::string NameOf(const Slice& slice);

// The benchmarks of one program. All have the same kind of ceiling.
struct KernelFamily {
  // Returns the benchmarks of one slice, without their limits.
  std::vector<KernelBenchmark> (*of_slice)(const KernelSizes& sizes, const Slice& slice);

  // Whether the kernels read the cached prefix. Otherwise only slices without one are timed.
  enum class Prefix : uint8_t { kIgnored, kRead } prefix = Prefix::kIgnored;
};

// Runs the benchmarks of each slice; returns the exit code of sluice::Main.
int KernelProgram(int argc, char** argv, const ProgramInfo& program, const KernelFamily& family);

}  // namespace sluice
