// The CPU time of this process.
#pragma once

namespace sluice {

// Seconds that all threads of this process have spent on a CPU since it began, in user and system
// mode.  Costs a system call: read it outside of what is timed.
double ProcessCpuSeconds();

}  // namespace sluice
