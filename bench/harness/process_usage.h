// CPU time and resident memory of this process, by the operating system.
#pragma once

#include <cstdint>

namespace sluice {

// Seconds that all threads of this process have spent on a CPU since it began, in user and system
// mode. It costs a system call, so read it outside of timed regions.
double ProcessCpuSeconds();

// Resident memory now, and its peak since the process began. Both include pages that are shared
// with other processes.
int64_t ResidentBytes();
int64_t PeakResidentBytes();

}  // namespace sluice
