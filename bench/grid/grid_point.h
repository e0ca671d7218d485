// A point of a grid: a forward job on one rank, in which a stack of layers runs one slice behind a
// cached prefix.
#pragma once

#include <compare>
#include <cstdint>

#include "core/tensor/dtype.h"
#include "parallel/exec/job_plan.h"

namespace sluice {

struct GridPoint {
  int64_t num_layers = 1;
  int64_t hidden_size = 64;
  int64_t seq_len = 1;     // positions that are computed
  int64_t prefix_len = 0;  // positions before them, whose keys and values are cached

  auto operator<=>(const GridPoint&) const = default;
};

// The same for all points of a search.
struct GridStack {
  Precision precision = Precision::kFloat32;
  int64_t batch_size = 1;
  int64_t head_dim = 64;
  uint64_t seed = 0;
};

// The job has no loss. Throws Error if the numbers do not make a model, or overflow.
JobPlan PlanOf(const GridPoint& point, const GridStack& stack);

}  // namespace sluice
