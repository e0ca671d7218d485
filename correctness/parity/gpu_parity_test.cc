// The whole stack on one GPU against core/reference in every precision, each under its derived
// bound (docs/error_bounds.md): slices with a cached prefix, micro-batches, both losses.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/backend/backend.h"
#include "core/device/cuda/gpu_test.h"
#include "correctness/parity/parity_run.h"
#include "parallel/comm/thread/thread_communicator.h"
#include "parallel/exec/executor.h"
#include "parallel/exec/initialize.h"

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
    const std::vector<ResultTensor> actual = RunAsThreads(config, {}, DeviceKind::kCuda);
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

// The comparison must be able to fail.
TEST_P(GpuParity, FailsWhereALayerIsDropped) {
  JobConfig config = ConfigFor(GetParam());
  config.loss = LossKind::kProjection;
  const auto drop = [](JobPlan& plan) { plan.layers_of_stage.back().num_layers -= 1; };
  const std::vector<ResultTensor> actual = RunAsThreads(config, {.plan = drop}, DeviceKind::kCuda);
  for (const Comparison& comparison : CompareResults(config, actual, ReferenceResults(config))) {
    if (comparison.name == "output" || comparison.name == "grad.input") {
      EXPECT_FALSE(comparison.pass) << ToString(comparison);
    }
  }
}

std::vector<std::vector<double>> WeightGradients(Executor& executor, Device& device) {
  std::vector<std::vector<double>> values;
  for (const int64_t layer : executor.memory().layers()) {
    for (const Tensor& gradient : executor.memory().WeightGradients(layer)) {
      values.push_back(ReadTensor(device, gradient));
    }
  }
  return values;
}

class GpuGraph : public GpuTest, public testing::WithParamInterface<Precision> {};

// Weight gradients run beside those of the input: a missing wait would show here.
TEST_P(GpuGraph, GivesTheBitsOfTheEagerStepAgainAndAgain) {
  JobConfig config = ConfigFor({.precision = GetParam(), .head_dim = 64});
  config.model.num_layers = 12;
  config.model.seq_len = 200;
  config.num_micro_batches = 3;
  const JobPlan plan = PlanJob(config);
  RunThreadRanks({.world_size = 1, .comm = {}}, [&](Communicator& world) {
    Backend backend = MakeBackend({.kind = DeviceKind::kCuda, .precision = config.precision});
    Executor executor(plan, backend, world);
    executor.RunStep();
    const double loss = executor.loss();
    const std::vector<std::vector<double>> eager = WeightGradients(executor, *backend.device);
    executor.Capture();
    for (int i = 0; i < 5; ++i) {
      executor.RunStep();
      EXPECT_EQ(executor.loss(), loss);
      EXPECT_EQ(WeightGradients(executor, *backend.device), eager);
    }
  });
}

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
