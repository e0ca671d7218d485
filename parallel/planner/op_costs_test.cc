#include "parallel/planner/op_costs.h"

#include <gtest/gtest.h>

#include "core/base/median.h"
#include "parallel/planner/unit_costs.h"

namespace sluice {
namespace {

UnitCosts Example() {
  UnitCosts costs = {
      .model = {.name = "m", .num_layers = 4, .hidden_size = 64, .seq_len = 512, .num_heads = 4}};
  costs.launch = {{OpKind::kForward, {0.5, 0.7, 9}}};
  costs.linear = {{OpKind::kForward, 1, 64, {1}},       {OpKind::kForward, 1, 128, {2, 3, 4}},
                  {OpKind::kForward, 1, 256, {5}},      {OpKind::kForward, 2, 64, {0.5}},
                  {OpKind::kBackwardInput, 1, 64, {2}}, {OpKind::kBackwardWeight, 1, 64, {1.5}}};
  // 4 heads: 4 x 64 x 32.5 = 8320 pairs in 2 s, and 4 x 64 x 96.5 = 24704 in 4 s.
  costs.attention = {{OpKind::kForward, 1, 1, 64, 0, {2}}, {OpKind::kForward, 1, 1, 64, 64, {4}}};
  costs.ends = {{OpKind::kForward, StageEnd::kLast, 64, {0.25}}};
  return costs;
}

OpShape Forward(const Slice& slice, int64_t micro_batch_size = 1, int tensor = 1) {
  return {OpKind::kForward, tensor, micro_batch_size, slice};
}

TEST(OpCosts, ReturnsMeasuredPointsExactly) {
  const OpCosts costs(Example(), Median);
  EXPECT_DOUBLE_EQ(costs.LayerSeconds(Forward({0, 64})), 1 + 2);
  EXPECT_DOUBLE_EQ(costs.LayerSeconds(Forward({64, 64})), 1 + 4);
  EXPECT_DOUBLE_EQ(costs.LaunchSeconds(OpKind::kForward), 0.7);
  EXPECT_DOUBLE_EQ(costs.EndSeconds(Forward({0, 64}), StageEnd::kLast), 0.25);
  EXPECT_DOUBLE_EQ(costs.EndSeconds(Forward({0, 64}), StageEnd::kFirst), 0);
}

TEST(OpCosts, DependsOnTheTokensOfAMicroBatch) {
  const OpCosts costs(Example(), Median);
  // 2 x 64 tokens, and twice the pairs at the same rate.
  EXPECT_DOUBLE_EQ(costs.LayerSeconds(Forward({0, 64}, 2)), 3 + 2 * 2);
}

TEST(OpCosts, InterpolatesBetweenPointsAndScalesBeyondTheLast) {
  UnitCosts unit_costs = Example();
  unit_costs.attention.clear();
  const OpCosts costs(unit_costs, Median);
  EXPECT_DOUBLE_EQ(costs.LayerSeconds(Forward({0, 192})), 4);
  EXPECT_DOUBLE_EQ(costs.LayerSeconds(Forward({0, 8})), 1);
  EXPECT_DOUBLE_EQ(costs.LayerSeconds(Forward({0, 512})), 10);
}

TEST(OpCosts, InterpolatesTheRateOfAttention) {
  UnitCosts unit_costs = Example();
  const OpCosts costs(unit_costs, Median);
  const double low = 8320.0 / 2;
  const double high = 24704.0 / 4;
  // Half way in log(64 + prefix_len), from 64 to 128: prefix_len 26.5.
  const double pairs = 4 * 64 * (26 + 32.5);
  const double attention_s = costs.LayerSeconds(Forward({26, 64})) - 1;
  EXPECT_GT(attention_s, pairs / high);
  EXPECT_LT(attention_s, pairs / low);
  EXPECT_NEAR(attention_s, pairs / ((low + high) / 2), 0.01 * attention_s);
}

TEST(OpCosts, DividesHeadsAmongTensorParallelRanks) {
  const OpCosts costs(Example(), Median);
  EXPECT_DOUBLE_EQ(costs.LayerSeconds(Forward({0, 64}, 1, 2)), 0.5 + 1);
  EXPECT_EQ(costs.tensor_parallel_sizes(), (std::vector<int>{1, 2}));
}

TEST(OpCosts, AddsThePartsOfAWholeBackwardThatWasNotMeasured) {
  const OpCosts costs(Example(), Median);
  EXPECT_TRUE(costs.Has(OpKind::kBackward, 1));
  EXPECT_FALSE(costs.Has(OpKind::kBackward, 2));
  EXPECT_DOUBLE_EQ(costs.LayerSeconds({OpKind::kBackward, 1, 1, {0, 64}}), 3.5);
}

}  // namespace
}  // namespace sluice
