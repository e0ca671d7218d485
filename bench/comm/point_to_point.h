// Messages from one rank to one other.
#pragma once

#include <vector>

#include "bench/comm/primitive.h"

namespace sluice {

// send_recv: ranks 0 and 1 send S to each other in turn, the others rest; a transfer is one way.
// ring_exchange: at the same time each rank sends S to the next and receives from the one before.
std::vector<Primitive> PointToPointPrimitives();

}  // namespace sluice
