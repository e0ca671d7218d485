// Whether a call may choose its implementation by timing (Kernels::tunes).
#pragma once

#include <cstdint>

namespace sluice {

enum class Tuning : uint8_t { kAllowed, kForbidden };

}  // namespace sluice
