#include "bench/kernels/kernel_benchmark.h"

#include <gflags/gflags.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <thread>

#include "bench/harness/ceilings_flag.h"
#include "core/base/error.h"

namespace sluice {
namespace {

using testing::SizeIs;

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
  for (const float value :
       {0.f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    EXPECT_THROW(TimeKernel({.n_steps = 3}, Constant(value)), Error) << value;
  }
  const Samples samples = TimeKernel({.n_steps = 3}, Constant(-2));
  EXPECT_THAT(samples.elapsed_s, SizeIs(3));
  EXPECT_THAT(samples.cpu_s, SizeIs(3));
  EXPECT_EQ(samples.counters.at("checksum"), -16);
  EXPECT_GT(samples.counters.at("share_of_ceiling"), 0);
}

TEST(KernelBenchmark, LeavesOutTheShareOfACeilingThatIsNotMeasured) {
  const gflags::FlagSaver saver;
  FLAGS_ceilings = "none";
  const Samples samples = TimeKernel({.n_steps = 1}, Constant(1));
  EXPECT_GT(samples.counters.at("bytes_per_s"), 0);
  EXPECT_EQ(samples.counters.count("ceiling_bytes_per_s"), 0u);
  EXPECT_EQ(samples.counters.count("share_of_ceiling"), 0u);
}

// A call that sleeps takes time but no CPU time.  The smallest of several: OpenBLAS's threads,
// which nobody uses, spin for the first tens of milliseconds of a process before they go to sleep.
TEST(KernelBenchmark, CpuTimeIsNotElapsedTime) {
  KernelBenchmark sleeper = Constant(1);
  const auto constant = sleeper.prepare;
  sleeper.prepare = [constant](Operands& operands) {
    KernelCall call = constant(operands);
    call.run = [run = call.run](Kernels& kernels) {
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
      run(kernels);
    };
    return call;
  };
  const Samples samples = TimeKernel({.n_steps = 5}, sleeper);
  EXPECT_GE(*std::min_element(samples.elapsed_s.begin(), samples.elapsed_s.end()), 0.03);
  EXPECT_LT(*std::min_element(samples.cpu_s.begin(), samples.cpu_s.end()), 0.02);
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
