// The memory that the operating system holds for this process: what it has touched of its program,
// its libraries and what it allocated.
#pragma once

#include <cstdint>

namespace sluice {

// Now.
int64_t ResidentBytes();

// The most since the process began.
int64_t PeakResidentBytes();

}  // namespace sluice
