#include "parallel/planner/plan_costs.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/base/median.h"
#include "parallel/planner/planner_test_costs.h"
#include "parallel/schedule/simulate.h"

namespace sluice {
namespace {

const ModelConfig kModel = {
    .name = "m", .num_layers = 8, .hidden_size = 64, .seq_len = 128, .num_heads = 4};

JobPlan PlanOf(const ParallelSizes& sizes, int num_micro_batches, const std::string& scheme) {
  return PlanJob({.model = kModel,
                  .batch_size = int64_t{num_micro_batches} * sizes.data,
                  .scheme = scheme,
                  .num_micro_batches = num_micro_batches,
                  .sizes = sizes});
}

double StepSeconds(const JobPlan& plan, const UnitCosts& unit_costs, const Links& links) {
  const OpCosts op_costs(unit_costs, Median);
  const PlanCosts costs(op_costs, LinkCosts(links, plan.config.sizes, Median), SizesOf(plan));
  const Simulation simulation =
      Simulate(plan.schedule, costs.ForSimulation(plan.schedule, plan.layers_of_stage));
  return costs.StepSeconds(plan.schedule, plan.layers_of_stage, simulation);
}

TEST(PlanCosts, OneRankTakesTheSumOfItsOps) {
  const JobPlan plan = PlanOf({}, 3, "single");
  // 8 layers x (1 + 2) ms for each of 3 micro-batches.
  EXPECT_NEAR(StepSeconds(plan, LinearTestCosts(kModel), FreeTestLinks()), 3 * 8 * 3e-3, 1e-12);
}

TEST(PlanCosts, GivesTheFormulaOfAPipelineWithoutCommunication) {
  const JobPlan plan = PlanOf({.pipeline = 4}, 6, "one_f_one_b");
  EXPECT_NEAR(StepSeconds(plan, LinearTestCosts(kModel), FreeTestLinks()), (6 + 4 - 1) * 2 * 3e-3,
              1e-9);
}

TEST(PlanCosts, AddsTheCollectivesOfTensorParallelism) {
  const UnitCosts costs = LinearTestCosts(kModel);
  const Links links = ParseLinksText("a:1MB/s,1us", 0);
  // An all-reduce of 128 x 64 floats over 2 ranks, 4 in each of 8 layers.
  const double all_reduce_s = 2 * (1e-6 + 128 * 64 * 4 / 2 / 1e6);
  EXPECT_NEAR(StepSeconds(PlanOf({.tensor = 2}, 1, "single"), costs, links),
              8 * (3e-3 / 2 + 4 * all_reduce_s), 1e-9);
}

TEST(PlanCosts, AddsTheGradientSumOfDataParallelRanks) {
  const UnitCosts costs = LinearTestCosts(kModel);
  const Links links = ParseLinksText("a:1MB/s,1us", 0);
  const double bytes = 4.0 * static_cast<double>(NumParameters(kModel));
  EXPECT_NEAR(StepSeconds(PlanOf({.data = 4}, 1, "single"), costs, links),
              8 * 3e-3 + 6 * (1e-6 + bytes / 4 / 1e6), 1e-9);
}

TEST(LinkCosts, CrossesHostsWhereRanksAreOnTwo) {
  const Links links = ParseLinksText("in:2GB/s,1us;out:1GB/s,5us", 4);
  const LinkCosts costs(links, {.pipeline = 4, .tensor = 2}, Median);
  EXPECT_DOUBLE_EQ(costs.OfPipeline({0, 1}).latency_s, 1e-6);
  EXPECT_DOUBLE_EQ(costs.OfPipeline({1, 2}).latency_s, 5e-6);
  EXPECT_DOUBLE_EQ(costs.OfPipeline({2, 1}).latency_s, 5e-6);
  EXPECT_DOUBLE_EQ(costs.OfPipeline({3, 0}).latency_s, 5e-6);
  EXPECT_DOUBLE_EQ(costs.OfPipeline({3, 2}).latency_s, 1e-6);
  EXPECT_NEAR(costs.TensorAllReduceSeconds(2e9), 2 * (1e-6 + 0.5), 1e-9);
}

TEST(LinkCosts, RefusesHostsWithoutALinkBetweenThem) {
  CheckLinks(ParseLinksText("a:1GB/s,1us", 8), 8);
  CheckLinks(ParseLinksText("a:1GB/s,1us", 0), 64);
  EXPECT_THROW(CheckLinks(ParseLinksText("a:1GB/s,1us", 8), 16), Error);
}

}  // namespace
}  // namespace sluice
