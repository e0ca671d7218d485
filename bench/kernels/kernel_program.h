// The flags and the main function that all kernel benchmarks share.
//
//   int main(int argc, char** argv) {
//     return sluice::KernelProgram(argc, argv, {.purpose = ..., .example = ...},
//     LayerNormBenchmarks);
//   }
//
// Sizes are a named model's: --model, --batch_size, --slice_lens and --prefix_lens; the rest says
// where and how often: --device, --dtype, --threads, --n_steps, and where results go
// (bench/harness/result_flags.h).  Without flags a program takes about a second and one thread, so
// that tools/perf can watch it.
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

  // Large enough for every call on a slice.
  KernelLimits LimitsFor(const Slice& slice) const;
};

// "slice_len:128/prefix_len:896".
std::string NameOf(const Slice& slice);

// Runs the benchmarks that `make` gives for the sizes, all with one kind of ceiling; returns the
// exit code of sluice::Main.
int KernelProgram(int argc, char** argv, const ProgramInfo& program,
                  std::vector<KernelBenchmark> (*make)(const KernelSizes&));

}  // namespace sluice
