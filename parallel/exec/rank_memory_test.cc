#include "parallel/exec/rank_memory.h"

#include <gtest/gtest.h>
#include <time.h>

#include <algorithm>

#include "core/device/cpu/cpu_device.h"
#include "parallel/exec/arena.h"
#include "parallel/schedule/activation_usage.h"

namespace sluice {
namespace {

JobPlan PlanOf(JobConfig config) {
  config.model = {
      .name = "tiny", .num_layers = 4, .hidden_size = 24, .seq_len = 12, .num_heads = 6};
  return PlanJob(config);
}

// The formula of docs/metrics.md for a unit with slices of L positions, written without UnitLayout.
int64_t FormulaBytes(const JobPlan& plan, int64_t slice_len, int64_t num_layers, bool receives) {
  const JobConfig& config = plan.config;
  const int64_t t = config.sizes.tensor;
  const int64_t L = slice_len, l = plan.splits_sequence() ? L / t : L;
  const int64_t B = plan.micro_batch_size, H = config.model.hidden_size;
  const int64_t N = config.model.num_heads, F = 4 * H;
  const int64_t s = SizeOf(StorageDType(config.precision));
  const int64_t a = SizeOf(AccumulatorDType(config.precision));
  const int64_t Z = AlignUp(l * B * H * s);
  const int64_t Q = config.prefix_len > 0 ? 0 : L * B * 3 * H / t * s;
  const int64_t K = 2 * AlignUp(L * B * H * s) + 4 * AlignUp(l * B * a) +
                    AlignUp(L * B * H / t * s) + AlignUp(L * B * N / t * a) + Z +
                    AlignUp(L * B * F / t * s);
  const int64_t received = receives ? Z : 0;
  if (config.pass == Pass::kStep) return num_layers * (K + Q + Z) + received;
  const bool keeps_all = config.slices.size() > 1 || config.prefix_len > 0;
  return (keeps_all ? num_layers : 1) * Q + Z + received;
}

TEST(RankMemory, UnitsKeepWhatTheFormulaSays) {
  for (const Pass pass : {Pass::kForward, Pass::kStep}) {
    for (const int64_t prefix_len : {0, 5}) {
      for (const PlanKind kind : {PlanKind::kMegatron, PlanKind::kMegatronSequenceParallel}) {
        JobConfig config = {.batch_size = 6,
                            .prefix_len = prefix_len,
                            .precision = Precision::kFloat64,
                            .scheme = "seqpipe",
                            .pass = pass,
                            .slices = {{0, 8}, {8, 4}},
                            .num_micro_batches = 2,
                            .sizes = {.pipeline = 2, .tensor = 2},
                            .plan = kind};
        const JobPlan plan = PlanOf(config);
        for (const int stage : {0, 1}) {
          const RankMemory memory(plan, {.pipeline = stage, .tensor = 1});
          EXPECT_EQ(memory.UnitActivationBytes({stage, 1, 0}), FormulaBytes(plan, 8, 2, stage > 0));
          EXPECT_EQ(memory.UnitActivationBytes({stage, 1, 1}), FormulaBytes(plan, 4, 2, stage > 0));
        }
      }
    }
  }
}

int64_t SimulatedBytes(const JobPlan& plan) {
  const RankMemory memory(plan, {});
  return memory.PermanentActivationBytes() +
         PeakActivationBytes(plan.schedule, 0,
                             [&](const Unit& unit) { return memory.UnitActivationBytes(unit); });
}

// On one rank, without messages, the simulated and the allocated activations are the same. Both
// include a cached prefix.
TEST(RankMemory, SimulatedActivationsAreThoseAllocated) {
  for (const Pass pass : {Pass::kForward, Pass::kStep}) {
    for (const int64_t prefix_len : {0, 1000}) {
      const JobPlan plan = PlanOf({.prefix_len = prefix_len, .pass = pass});
      const double allocated = static_cast<double>(RankMemory(plan, {}).bytes().activations);
      EXPECT_NEAR(static_cast<double>(SimulatedBytes(plan)), allocated, 4096 + 0.01 * allocated)
          << (pass == Pass::kForward ? "forward" : "step") << " behind " << prefix_len;
    }
  }
}

double ThreadCpuSeconds() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// CPU time per micro-batch of planning the job, laying out its memory, and looking up each tensor
// once; the minimum of several tries.
double SecondsPerMicroBatch(int num_micro_batches) {
  double least_s = 1e9;
  for (int i = 0; i < 3; ++i) {
    const double begin_s = ThreadCpuSeconds();
    const JobPlan plan = PlanOf({.batch_size = num_micro_batches,
                                 .loss = LossKind::kProjection,
                                 .scheme = "gpipe",
                                 .num_micro_batches = num_micro_batches,
                                 .sizes = {.pipeline = 2}});
    CpuDevice device({.num_threads = 1});
    int64_t num_elements = 0;
    for (const int stage : {0, 1}) {
      RankMemory memory(plan, {.pipeline = stage});
      memory.Allocate(device);
      for (int mb = 0; mb < num_micro_batches; ++mb) {
        const Unit unit = {stage, mb, 0};
        num_elements += memory.Input(unit).num_elements() + memory.Output(unit).num_elements() +
                        memory.InputGradient(unit).num_elements();
        if (stage == 1) num_elements += memory.Projection(unit).num_elements();
      }
    }
    EXPECT_GT(num_elements, 0);
    least_s = std::min(least_s, ThreadCpuSeconds() - begin_s);
  }
  return least_s / num_micro_batches;
}

// Quadratic work in the units would take 32 times as long per micro-batch. A working set that no
// longer fits into a cache takes a few times as long.
TEST(RankMemory, TakesConstantTimePerUnit) {
  const double few_s = SecondsPerMicroBatch(500);
  const double many_s = SecondsPerMicroBatch(16'000);
  EXPECT_LT(many_s, 8 * few_s);
}

}  // namespace
}  // namespace sluice
