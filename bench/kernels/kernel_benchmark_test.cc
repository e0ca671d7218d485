#include "bench/kernels/kernel_benchmark.h"

#include <benchmark/benchmark.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

namespace sluice {
namespace {

// A benchmark whose call writes `value` into its result.
KernelBenchmark Constant(float value) {
  return {
      .name = "constant",
      .limits = {.max_tokens = 1, .hidden_size = 8, .num_heads = 1, .head_dim = 8},
      .ceiling = Ceiling::kCopyRate,
      .work = 1024,
      .prepare = [value](Operands& operands) {
        const Tensor result = operands.Activation({2, 4});
        return KernelCall{[=](Kernels&) { std::fill_n(result.Data<float>(), 8, value); }, {result}};
      }};
}

TEST(KernelBenchmark, TimesOnlyWhatHasAResult) {
  const float values[] = {1, 0, std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity(), -2};
  int64_t num_timed[5] = {};
  for (int i = 0; i < 5; ++i) {
    RegisterKernelBenchmark({.n_steps = 3}, Constant(values[i]), &num_timed[i]);
  }
  benchmark::RunSpecifiedBenchmarks();
  EXPECT_THAT(num_timed, testing::ElementsAre(1, 0, 0, 0, 1));
}

TEST(KernelBenchmark, OperandsDifferAndRepeat) {
  Backend backend = MakeBackend({});
  Operands first(*backend.device, Precision::kFloat32), again(*backend.device, Precision::kFloat32);
  const Tensor a = first.Activation({3, 5}), b = first.Accumulator({3, 5});
  const Tensor c = again.Activation({3, 5});
  EXPECT_NE(a.Data<float>()[7], b.Data<float>()[7]);
  EXPECT_EQ(a.Data<float>()[7], c.Data<float>()[7]);
}

}  // namespace
}  // namespace sluice
