// Collectives that add.
#pragma once

#include <vector>

#include "bench/comm/primitive.h"

namespace sluice {

// all_reduce: S on each rank, summed in place.
// reduce_scatter: S on each rank, of which each keeps the sum of its share, S / world_size.
std::vector<Primitive> ReductionPrimitives();

}  // namespace sluice
