// All precisions, in the order in which lists show them.
#pragma once

#include "core/tensor/dtype.h"

namespace sluice {

constexpr Precision kPrecisions[] = {Precision::kFloat32, Precision::kFloat64, Precision::kTf32,
                                     Precision::kBFloat16, Precision::kFloat16};

}  // namespace sluice
