// What moves no bytes.
#pragma once

#include <vector>

#include "bench/comm/primitive.h"

namespace sluice {

// barrier: every rank waits for all.
std::vector<Primitive> BarrierPrimitives();

}  // namespace sluice
