// Collectives that copy.
#pragma once

#include <vector>

#include "bench/comm/primitive.h"

namespace sluice {

// all_gather: each rank gives S / world_size, and all have S.
// broadcast: rank 0 gives S, and all have it.
std::vector<Primitive> CopyPrimitives();

}  // namespace sluice
