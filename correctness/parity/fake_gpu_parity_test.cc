// Every scheme and plan through NcclCommunicator, on the fake of NCCL and CUDA: parity with
// core/reference in float64, and graphs that repeat the step.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "correctness/parity/fake_machine.h"
#include "correctness/parity/parity_run.h"
#include "parallel/comm/comm_error.h"
#include "parallel/comm/thread/thread_communicator.h"
#include "parallel/exec/executor.h"
#include "parallel/schemes/schemes.h"

namespace sluice {
namespace {

struct FakeGpuCase {
  std::string name;
  std::string scheme;
  ParallelSizes sizes;
  int num_slices = 1;
  int num_micro_batches = 1;
  int num_chunks = 1;
  PlanKind plan = PlanKind::kMegatron;
};

std::vector<FakeGpuCase> AllCases() {
  constexpr PlanKind kSequence = PlanKind::kMegatronSequenceParallel;
  return {
      {"single", "single", {}, 3, 2},
      {"gpipe_w4", "gpipe", {.pipeline = 4}, 1, 4},
      {"gpipe_w8", "gpipe", {.pipeline = 8}, 1, 4},
      {"one_f_one_b_w4", "one_f_one_b", {.pipeline = 4}, 1, 4},
      {"interleaved_w4", "interleaved_one_f_one_b", {.pipeline = 4}, 1, 4, 2},
      {"seqpipe_w2", "seqpipe", {.pipeline = 2}, 8, 2},
      {"seqpipe_w8", "seqpipe", {.pipeline = 8}, 8, 2},
      {"seq_one_f_one_b_w4", "seq_one_f_one_b", {.pipeline = 4}, 4, 4},
      {"seq_interleaved_w4", "seq_interleaved", {.pipeline = 4}, 8, 2, 2},
      {"zero_bubble_h1_w4", "zero_bubble_h1", {.pipeline = 4}, 1, 4},
      {"zero_bubble_h2_w4", "zero_bubble_h2", {.pipeline = 4}, 1, 8},
      {"zero_bubble_v_w4", "zero_bubble_v", {.pipeline = 4}, 1, 8},
      {"v_half_w4", "v_half", {.pipeline = 4}, 1, 4},
      {"v_min_w4", "v_min", {.pipeline = 4}, 1, 4},
      {"dualpipe_v_w4", "dualpipe_v", {.pipeline = 4}, 1, 8},
      {"seq_zero_bubble_h1_w4", "seq_zero_bubble_h1", {.pipeline = 4}, 4, 2},
      {"seq_interleaved_zero_bubble_w4", "seq_interleaved_zero_bubble", {.pipeline = 4}, 8, 2, 2},
      {"megatron_w8", "single", {.tensor = 8}, 1, 1},
      {"megatron_sequence_w4", "single", {.tensor = 4}, 2, 2, 1, kSequence},
      {"data_w4", "single", {.data = 4}, 1, 2},
      {"seqpipe_tensor_data_w8", "seqpipe", {.pipeline = 2, .tensor = 2, .data = 2}, 4, 2},
      {"one_f_one_b_sequence_w8", "one_f_one_b", {.pipeline = 4, .tensor = 2}, 1, 4, 1, kSequence},
  };
}

JobConfig ConfigOf(const FakeGpuCase& c) {
  JobConfig config;
  config.model = {
      .name = "fake-gpu", .num_layers = 8, .hidden_size = 48, .seq_len = 24, .num_heads = 8};
  config.batch_size = 8;
  config.loss = LossKind::kProjection;
  config.precision = Precision::kFloat64;
  config.scheme = c.scheme;
  config.slices = UniformSlices(config.model.seq_len, c.num_slices);
  config.num_micro_batches = c.num_micro_batches;
  config.num_chunks = c.num_chunks;
  config.sizes = c.sizes;
  config.plan = c.plan;
  return config;
}

class FakeGpuParity : public testing::TestWithParam<FakeGpuCase> {};

TEST_P(FakeGpuParity, WithTheReference) {
  const JobConfig config = ConfigOf(GetParam());
  const std::vector<ResultTensor> actual = RunAsThreads(config, FakeGpuMachine());
  for (const Comparison& comparison : CompareResults(config, actual, ReferenceResults(config))) {
    EXPECT_TRUE(comparison.pass) << ToString(comparison);
  }
}

TEST_P(FakeGpuParity, OfAGraphWithTheStep) {
  ExpectGraphRepeatsStep(ConfigOf(GetParam()), FakeGpuMachine());
}

// An algorithm that is chosen in the first step waits for all of its device, where the receive of a
// gradient waits for a rank that waits for this one.
TEST(FakeGpuDeathTest, KernelsThatTuneInTheFirstStepHang) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const JobConfig config = ConfigOf({"", "gpipe", {.pipeline = 2}, 1, 1});
  const auto run = [&](FakeTuning tuning) {
    const Machine machine = FakeGpuMachine(tuning);
    const JobPlan plan = PlanJob(config);
    RunThreadRanks({.world_size = 2, .comm = {.timeout_s = 2}}, [&](Communicator& world) {
      Backend backend = machine.make_backend(world.rank(), config.precision);
      const std::unique_ptr<Communicator> comm = machine.connect(world, backend);
      Executor(plan, backend, *comm).RunStep();
    });
  };
  EXPECT_NO_THROW(run(FakeTuning::kAnnounced));
  EXPECT_EXIT(run(FakeTuning::kHidden), ::testing::ExitedWithCode(kDeadlineExitCode),
              "does not respond");
}

TEST(FakeGpuCases, NameEveryScheme) {
  std::vector<std::string> tested;
  for (const FakeGpuCase& c : AllCases()) tested.push_back(c.scheme);
  for (const Scheme& scheme : Schemes()) {
    EXPECT_THAT(tested, testing::Contains(std::string(scheme.name)));
  }
}

INSTANTIATE_TEST_SUITE_P(Schemes, FakeGpuParity, testing::ValuesIn(AllCases()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace sluice
