// The memory of a candidate on the device with the most: exactly, by the executor's own layout, and
// before that a lower bound that needs the list of one rank only.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "parallel/exec/job_plan.h"
#include "parallel/planner/candidates.h"

namespace sluice {

int64_t ExactMemoryBytes(const PlanRequest& request, const JobPlan& plan);

class MemoryBound {
 public:
  // `request` must outlive this object.
  explicit MemoryBound(const PlanRequest& request) : request_(request) {}

  // Weights, their gradients and the most activations that `ops`, the list of rank 0, keeps at a
  // time.
  int64_t Of(const Candidate& candidate, const std::vector<Slice>& slices,
             const std::vector<Op>& ops);

 private:
  // Of stage 0.
  struct StageBytes {
    int64_t weights_and_gradients = 0;
    std::vector<int64_t> activations;  // [num_slices], of one unit
  };
  const StageBytes& BytesOf(const Candidate& candidate, const std::vector<Slice>& slices);

  const PlanRequest& request_;
  // By tensor_parallel_size, number of stages, micro-batch size and the lengths of the slices.
  std::map<std::tuple<int, int, int64_t, std::vector<int64_t>>, StageBytes> known_;
};

}  // namespace sluice
