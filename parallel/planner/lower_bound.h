// A lower bound on the time of a step, from a plan's sizes and costs alone: no order of its ops can
// be faster. The search simulates only plans whose bound is below the best time.
#pragma once

#include <vector>

#include "parallel/planner/candidates.h"
#include "parallel/planner/plan_costs.h"
#include "parallel/schedule/layer_split.h"

namespace sluice {

// Which backward ops a scheme's lists have.
struct BackwardKinds {
  bool has_whole = false;
  bool has_split = false;
};
BackwardKinds BackwardKindsOf(const Scheme& scheme);

// The greatest over ranks of: the chain of forwards before its first op, its own ops, and what
// follows them: after its last input gradient the chain of backwards on the stages below, after its
// last op the sum of its gradients.
double LowerBoundSeconds(const PlanCosts& costs, const Candidate& candidate,
                         const BackwardKinds& kinds,
                         const std::vector<LayerRange>& layers_of_stage);

}  // namespace sluice
