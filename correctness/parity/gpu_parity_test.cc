// The whole stack on GPUs against core/reference in every precision, each under its derived bound
// (docs/error_bounds.md).  On one: slices with a cached prefix, micro-batches, both losses.  On all
// that the machine has: schemes and plans, over NCCL.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/device/cuda/gpu_test.h"
#include "correctness/parity/machines.h"
#include "correctness/parity/parity_run.h"

namespace sluice {
namespace {

struct GpuCase {
  Precision precision;
  int64_t head_dim;
};

std::vector<GpuCase> AllCases() {
  std::vector<GpuCase> cases;
  for (const Precision precision :
       {Precision::kFloat32, Precision::kTf32, Precision::kBFloat16, Precision::kFloat16}) {
    for (const int64_t head_dim : {24, 64}) cases.push_back({precision, head_dim});
  }
  return cases;
}

JobConfig ConfigFor(const GpuCase& c) {
  constexpr int64_t kNumHeads = 3;
  JobConfig config;
  config.model = {.name = "gpu-parity",
                  .num_layers = 4,
                  .hidden_size = kNumHeads * c.head_dim,
                  .seq_len = 37,
                  .num_heads = kNumHeads};
  config.batch_size = 6;
  config.precision = c.precision;
  return config;
}

class GpuParity : public GpuTest, public testing::WithParamInterface<GpuCase> {
 protected:
  void ExpectParity(const JobConfig& config) {
    const std::vector<ResultTensor> actual = RunAsThreads(config, GpuMachine());
    for (const Comparison& comparison : CompareResults(config, actual, ReferenceResults(config))) {
      EXPECT_TRUE(comparison.pass) << ToString(comparison);
    }
  }
};

TEST_P(GpuParity, OfOneSlice) {
  JobConfig config = ConfigFor(GetParam());
  for (const LossKind loss : {LossKind::kMean, LossKind::kProjection}) {
    config.loss = loss;
    ExpectParity(config);
  }
}

TEST_P(GpuParity, OfSlicesMicroBatchesAndAPrefix) {
  JobConfig config = ConfigFor(GetParam());
  config.loss = LossKind::kProjection;
  config.slices = {{.begin = 0, .len = 5}, {.begin = 5, .len = 19}, {.begin = 24, .len = 13}};
  config.num_micro_batches = 3;
  config.prefix_len = 11;
  ExpectParity(config);
}

TEST_P(GpuParity, WithGradientsInTheStorageType) {
  JobConfig config = ConfigFor(GetParam());
  config.loss = LossKind::kProjection;
  config.grad_dtype = StorageDType(config.precision);
  ExpectParity(config);
  config.slices = {{.begin = 0, .len = 18}, {.begin = 18, .len = 19}};
  config.num_micro_batches = 3;
  ExpectParity(config);
}

// The comparison must be able to fail.
TEST_P(GpuParity, FailsWhereALayerIsDropped) {
  JobConfig config = ConfigFor(GetParam());
  config.loss = LossKind::kProjection;
  const auto drop = [](JobPlan& plan) { plan.layers_of_stage.back().num_layers -= 1; };
  const std::vector<ResultTensor> actual = RunAsThreads(config, GpuMachine(), {.plan = drop});
  for (const Comparison& comparison : CompareResults(config, actual, ReferenceResults(config))) {
    if (comparison.name == "output" || comparison.name == "grad.input") {
      EXPECT_FALSE(comparison.pass) << ToString(comparison);
    }
  }
}

class GpuGraph : public GpuTest, public testing::WithParamInterface<Precision> {};

// Weight gradients run beside those of the input: a missing wait would show here.
TEST_P(GpuGraph, GivesTheBitsOfTheEagerStepAgainAndAgain) {
  JobConfig config = ConfigFor({.precision = GetParam(), .head_dim = 64});
  config.model.num_layers = 12;
  config.model.seq_len = 200;
  config.num_micro_batches = 3;
  ExpectGraphRepeatsStep(config, GpuMachine());
}

// A rank on each of two GPUs or more, with NCCL between them.
struct GpusCase {
  std::string name;
  std::string scheme;
  enum class Axis { kPipeline, kTensor, kData } axis = Axis::kPipeline;
  int num_slices = 1;
  int num_micro_batches = 1;
  PlanKind plan = PlanKind::kMegatron;
};

std::vector<GpusCase> AllGpusCases() {
  using Axis = GpusCase::Axis;
  return {{"gpipe", "gpipe", Axis::kPipeline, 1, 4},
          {"one_f_one_b", "one_f_one_b", Axis::kPipeline, 1, 4},
          {"seqpipe", "seqpipe", Axis::kPipeline, 8, 2},
          {"seq_one_f_one_b", "seq_one_f_one_b", Axis::kPipeline, 4, 4},
          {"zero_bubble_v", "zero_bubble_v", Axis::kPipeline, 1, 16},
          {"megatron", "single", Axis::kTensor},
          {"megatron_sequence", "single", Axis::kTensor, 2, 2, PlanKind::kMegatronSequenceParallel},
          {"data", "single", Axis::kData}};
}

class Gpus : public GpuTest, public testing::WithParamInterface<GpusCase> {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped()) return;
    if (NumCudaDevices() < 2) {
      GTEST_SKIP() << "2 GPUs are needed; this machine shows " << NumCudaDevices();
    }
  }

  // On the largest power of two of the GPUs, at most 8.
  JobConfig Config() const {
    const GpusCase& c = GetParam();
    int size = 2;
    while (2 * size <= std::min(NumCudaDevices(), 8)) size *= 2;
    JobConfig config;
    config.model = {
        .name = "gpus", .num_layers = 16, .hidden_size = 512, .seq_len = 64, .num_heads = 8};
    config.batch_size = 16;
    config.loss = LossKind::kProjection;
    config.precision = Precision::kFloat32;
    config.scheme = c.scheme;
    config.slices = UniformSlices(config.model.seq_len, c.num_slices);
    config.num_micro_batches = c.num_micro_batches;
    config.plan = c.plan;
    if (c.axis == GpusCase::Axis::kPipeline) config.sizes.pipeline = size;
    if (c.axis == GpusCase::Axis::kTensor) config.sizes.tensor = size;
    if (c.axis == GpusCase::Axis::kData) config.sizes.data = size;
    return config;
  }
};

TEST_P(Gpus, AgreeWithTheReference) {
  const JobConfig config = Config();
  const std::vector<ResultTensor> actual = RunAsThreads(config, GpuMachine());
  for (const Comparison& comparison : CompareResults(config, actual, ReferenceResults(config))) {
    EXPECT_TRUE(comparison.pass) << ToString(comparison);
  }
}

TEST_P(Gpus, RepeatAStepAsAGraph) { ExpectGraphRepeatsStep(Config(), GpuMachine()); }

INSTANTIATE_TEST_SUITE_P(Schemes, Gpus, testing::ValuesIn(AllGpusCases()),
                         [](const auto& test) { return test.param.name; });

std::string NameOfPrecision(const testing::TestParamInfo<Precision>& info) {
  return std::string(Name(info.param));
}

INSTANTIATE_TEST_SUITE_P(Precisions, GpuGraph,
                         testing::Values(Precision::kFloat32, Precision::kTf32,
                                         Precision::kBFloat16, Precision::kFloat16),
                         NameOfPrecision);

std::string NameOf(const testing::TestParamInfo<GpuCase>& info) {
  return std::string(Name(info.param.precision)) + "_head_dim_" +
         std::to_string(info.param.head_dim);
}

INSTANTIATE_TEST_SUITE_P(Precisions, GpuParity, testing::ValuesIn(AllCases()), NameOf);

}  // namespace
}  // namespace sluice
