#include "parallel/planner/search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "core/base/error.h"
#include "core/base/median.h"
#include "parallel/planner/lower_bound.h"
#include "parallel/planner/plan_memory.h"
#include "parallel/planner/planner_test_costs.h"
#include "parallel/schemes/schemes.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

const ModelConfig kModel = {
    .name = "m", .num_layers = 12, .hidden_size = 64, .seq_len = 256, .num_heads = 4};

PlanRequest Request(int num_devices) {
  PlanRequest request = {.model = kModel,
                         .batch_size = 8,
                         .num_devices = num_devices,
                         .memory_bytes = int64_t{1} << 40,
                         .slice_tile = 16};
  for (const Scheme& scheme : Schemes()) request.schemes.push_back(&scheme);
  return request;
}

const Links& TestLinks() {
  static const Links& links = *new Links(ParseLinksText("a:1GB/s,20us", 0));
  return links;
}

// Calls `visit` with every plan of the request that can be built.
template <typename Visit>
void ForEachPlan(const PlanRequest& request, const UnitCosts& unit_costs, const Visit& visit) {
  const OpCosts costs(unit_costs, Median);
  for (const Candidate& candidate : EnumerateCandidates(request, costs).plans) {
    try {
      visit(candidate, PlanJob(ConfigOf(request, candidate,
                                        UniformSlices(kModel.seq_len, candidate.num_slices))));
    } catch (const Error&) {
    }
  }
}

TEST(LowerBound, IsNeverAboveTheSimulation) {
  const UnitCosts unit_costs = LinearTestCosts(kModel, 0.4);
  const OpCosts op_costs(unit_costs, Median);
  int num_plans = 0;
  int num_tight = 0;
  for (const int num_devices : {1, 4, 6}) {
    const PlanRequest request = Request(num_devices);
    ForEachPlan(request, unit_costs, [&](const Candidate& candidate, const JobPlan& plan) {
      const LinkCosts links(TestLinks(), candidate.sizes, Median);
      const PlanCosts costs(op_costs, links, SizesOf(plan));
      const double bound_s = LowerBoundSeconds(costs, candidate, BackwardKindsOf(*candidate.scheme),
                                               plan.layers_of_stage);
      const double step_s = SimulatedStepSeconds(plan, op_costs, links);
      EXPECT_LE(bound_s, step_s * (1 + 1e-12)) << LabelOf(candidate);
      ++num_plans;
      if (bound_s > 0.9 * step_s) ++num_tight;
    });
  }
  EXPECT_GT(num_plans, 300);
  EXPECT_GT(num_tight, num_plans / 4);
}

TEST(MemoryBound, IsNeverAboveTheExactMemory) {
  const UnitCosts unit_costs = LinearTestCosts(kModel);
  const PlanRequest request = Request(4);
  MemoryBound bound(request);
  ForEachPlan(request, unit_costs, [&](const Candidate& candidate, const JobPlan& plan) {
    const ScheduleShape shape = {.num_ranks = candidate.sizes.pipeline,
                                 .num_micro_batches = candidate.num_micro_batches,
                                 .num_slices = candidate.num_slices,
                                 .num_chunks = candidate.num_chunks};
    const int64_t bytes =
        bound.Of(candidate, plan.config.slices, candidate.scheme->build(shape, 0));
    const int64_t exact_bytes = ExactMemoryBytes(request, plan);
    EXPECT_LE(bytes, exact_bytes) << LabelOf(candidate);
    EXPECT_GT(bytes, exact_bytes / 8) << LabelOf(candidate);
  });
}

TEST(SearchPlans, FindsTheBestOfAllPlans) {
  const UnitCosts unit_costs = LinearTestCosts(kModel, 0.4);
  const OpCosts op_costs(unit_costs, Median);
  for (const int num_devices : {2, 4, 6}) {
    PlanRequest request = Request(num_devices);
    request.slice_rule = SliceRule::kEqual;
    double best_s = std::numeric_limits<double>::infinity();
    ForEachPlan(request, unit_costs, [&](const Candidate& candidate, const JobPlan& plan) {
      const LinkCosts links(TestLinks(), candidate.sizes, Median);
      best_s = std::min(best_s, SimulatedStepSeconds(plan, op_costs, links));
    });
    const SearchResult result = SearchPlans(request, unit_costs, TestLinks(), {});
    EXPECT_TRUE(result.best_is_proven);
    EXPECT_DOUBLE_EQ(result.best.front().step_s, best_s);
    EXPECT_LT(result.num_simulations, std::ssize(result.candidates.plans));
    int64_t num_counted = 0;
    for (const FamilyCount& family : result.families) {
      EXPECT_EQ(family.num_plans, family.num_indivisible + family.num_too_large +
                                      family.num_bounded + family.num_simulated);
      num_counted += family.num_plans;
    }
    EXPECT_EQ(num_counted, std::ssize(result.candidates.plans));
  }
}

TEST(SearchPlans, BalancedSlicesAreFasterThanEqualOnes) {
  // One head, so that only a pipeline is left, and a cost of each op, so that slices are few.
  PlanRequest request = Request(4);
  request.model.num_heads = 1;
  request.batch_size = 1;
  request.slice_tile = 4;
  UnitCosts unit_costs = LinearTestCosts(request.model, 0.9);
  unit_costs.launch = {{OpKind::kForward, {2e-4}}, {OpKind::kBackward, {2e-4}}};
  request.schemes = {&FindScheme("seq_one_f_one_b")};
  const double balanced_s = SearchPlans(request, unit_costs, FreeTestLinks(), {}).best[0].step_s;
  request.slice_rule = SliceRule::kEqual;
  const double equal_s = SearchPlans(request, unit_costs, FreeTestLinks(), {}).best[0].step_s;
  EXPECT_LT(balanced_s, 0.95 * equal_s);
  request.slice_rule = SliceRule::kTerapipe;
  const SearchResult terapipe = SearchPlans(request, unit_costs, FreeTestLinks(), {});
  EXPECT_GT(terapipe.best[0].plan.config.slices.size(), 1u);
}

TEST(SearchPlans, KeepsWithinTheMemory) {
  const UnitCosts unit_costs = LinearTestCosts(kModel);
  PlanRequest request = Request(4);
  const SearchResult roomy = SearchPlans(request, unit_costs, TestLinks(), {});
  int64_t least = std::numeric_limits<int64_t>::max();
  ForEachPlan(request, unit_costs, [&](const Candidate&, const JobPlan& plan) {
    least = std::min(least, ExactMemoryBytes(request, plan));
  });
  request.memory_bytes = least;
  request.slice_rule = SliceRule::kEqual;
  const SearchResult tight = SearchPlans(request, unit_costs, TestLinks(), {});
  EXPECT_EQ(tight.best.front().memory_bytes, least);
  EXPECT_GE(tight.best.front().step_s, roomy.best.front().step_s);
  request.memory_bytes = least - 1;
  try {
    SearchPlans(request, unit_costs, TestLinks(), {});
    FAIL() << "a plan fits";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("no plan of m on 4 devices fits"));
    EXPECT_THAT(error.what(), HasSubstr("needs at least"));
  }
}

TEST(SearchPlans, SaysWhyNoPlanDividesTheModel) {
  try {
    SearchPlans(Request(53), LinearTestCosts(kModel), TestLinks(), {});
    FAIL() << "a plan was found";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("no plan divides m on 53 devices"));
    EXPECT_THAT(error.what(), HasSubstr("more pipeline ranks than the 12 layers"));
    EXPECT_THAT(error.what(), HasSubstr("data_parallel_size does not divide batch_size 8"));
  }
}

}  // namespace
}  // namespace sluice
