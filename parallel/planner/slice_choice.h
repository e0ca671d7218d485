// The slices of each candidate by a SliceRule, chosen once for all candidates that share them.
#pragma once

#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "parallel/planner/candidates.h"
#include "parallel/planner/op_costs.h"
#include "parallel/planner/plan_costs.h"

namespace sluice {

PlanSizes SizesOf(const PlanRequest& request, const Candidate& candidate,
                  std::vector<Slice> slices);

class SliceChoice {
 public:
  // `request` and `costs` must outlive this object.
  SliceChoice(const PlanRequest& request, const OpCosts& costs)
      : request_(request), costs_(costs) {}

  // `link_costs` are those of the candidate's sizes; only SliceRule::kTerapipe needs them.
  const std::vector<Slice>& Of(const Candidate& candidate, bool splits_backward,
                               const LinkCosts& link_costs);

 private:
  std::vector<Slice> Choose(const Candidate& candidate, bool splits_backward,
                            const LinkCosts& link_costs) const;

  const PlanRequest& request_;
  const OpCosts& costs_;
  // By tensor_parallel_size, micro-batch size, number of slices and whether backwards are split;
  // for TeraPipe also by the number of stages and data-parallel ranks.
  std::map<std::tuple<int, int64_t, int, bool, int, int>, std::vector<Slice>> known_;
};

}  // namespace sluice
