// Costs for tests of the planner, with times that are easy to add up.
#pragma once

#include "core/model/model_config.h"
#include "parallel/planner/links.h"
#include "parallel/planner/unit_costs.h"

namespace sluice {

// A layer on the whole sequence takes 1 ms in its forward, 1 ms for each part of its backward and 2
// ms for a whole one, divided by tensor_parallel_size (1, 2 or 4), in proportion to its tokens.
// `attention_share` of the forward and of the input gradient is attention.
UnitCosts LinearTestCosts(const ModelConfig& model, double attention_share = 0);

// Links that take no time.
Links FreeTestLinks();

}  // namespace sluice
