// Whether numbers are finite, at the speed of memory.
#pragma once

#include "core/tensor/tensor.h"

namespace sluice {

// Whether `host`, a tensor in host memory, has no infinity and no NaN.
bool AllFinite(const Tensor& host);

}  // namespace sluice
