// The primitives that //bench/comm times, by what they do. S is the size of an exchange
// (docs/metrics.md).
#pragma once

#include <vector>

#include "bench/comm/primitive.h"

namespace sluice {

// barrier: every rank waits for all others. It moves no bytes.
std::vector<Primitive> BarrierPrimitives();

// send_recv: ranks 0 and 1 send S to each other in turn while the others idle; a transfer is one
// direction.
// ring_exchange: each rank sends S to the next rank and receives from the previous one at the same
// time.
std::vector<Primitive> PointToPointPrimitives();

// all_reduce: S on each rank, summed in place.
// reduce_scatter: S on each rank; each keeps the sum of its share, S / world_size.
std::vector<Primitive> ReductionPrimitives();

// all_gather: each rank contributes S / world_size, and all receive S.
// broadcast: rank 0 sends S to all.
std::vector<Primitive> CopyPrimitives();

}  // namespace sluice
