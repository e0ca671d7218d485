#include "bench/harness/cpu_time.h"

#include <time.h>

#include "core/base/check.h"

namespace sluice {

double ProcessCpuSeconds() {
  timespec time = {};
  SLUICE_CHECK_EQ(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time), 0);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace sluice
