// Finds the plan with the shortest simulated step among all plans of a request that fit into
// memory: every plan gets a lower bound, and plans are simulated in ascending order of it until no
// bound is below the best time.
//
//   const SearchResult result = SearchPlans(request, unit_costs, links, {});
//   result.best.front();
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "parallel/planner/candidates.h"
#include "parallel/planner/links.h"
#include "parallel/planner/plan_costs.h"
#include "parallel/planner/unit_costs.h"
#include "parallel/schedule/simulate.h"

namespace sluice {

struct SearchLimits {
  int num_best = 10;
  // Plans that are simulated at most; those that improve slices come in addition.
  int64_t max_simulations = 400;
  // Of the exchange of tiles between the slices of one of the best plans.
  int max_exchanges = 60;
};

struct RankedPlan {
  Candidate candidate;
  JobPlan plan;
  double bound_s = 0;
  double step_s = 0;
  double bubble_fraction = 0;  // of the step, all pipeline ranks
  // What the step would take less if messages and collectives took no time.
  double exposed_communication_s = 0;
  int64_t memory_bytes = 0;  // of the device with the most
};

// What became of the plans of one scheme.
struct FamilyCount {
  std::string scheme;
  int64_t num_plans = 0;
  int64_t num_indivisible = 0;  // refused by a rule of the scheme
  int64_t num_too_large = 0;    // more memory than a device has
  int64_t num_bounded = 0;      // a bound above the best plans, so not simulated
  int64_t num_simulated = 0;
  std::string indivisible_reason;  // the first
  std::string least_memory_plan;   // of those too large
  int64_t least_memory_bytes = 0;  // its need, or a bound below it
  double least_bounded_s = 0;      // of those not simulated, the least bound
};

struct SearchResult {
  std::vector<RankedPlan> best;  // by step_s, at most num_best
  std::vector<FamilyCount> families;
  Candidates candidates;
  int64_t num_bounds = 0;       // plans with a bound
  int64_t num_simulations = 0;  // of whole plans
  int64_t num_exchanges = 0;    // simulations that improved slices
  bool best_is_proven = false;  // no plan that was not simulated can be faster
  bool all_are_proven = false;  // likewise than any of `best`
};

// Throws Error if no plan fits; the message has the nearest miss and what would fit.
SearchResult SearchPlans(const PlanRequest& request, const UnitCosts& unit_costs,
                         const Links& links, const SearchLimits& limits);

// The simulated step of a plan under these costs.
double SimulatedStepSeconds(const JobPlan& plan, const OpCosts& op_costs,
                            const LinkCosts& link_costs);

}  // namespace sluice
