// The memory that the operating system holds for the processes of a job: what they have touched of
// their programs, their libraries and what they allocated.  Pages that processes share count in
// each.  Ranks that are threads have one process; those of a launcher all call these alike.
#pragma once

#include <cstdint>

#include "programs/rank_starter.h"

namespace sluice {

// Now.
int64_t ResidentBytes(const RankStarter& ranks);

// The sum of the most that each has held since it began.
int64_t PeakResidentBytes(const RankStarter& ranks);

}  // namespace sluice
