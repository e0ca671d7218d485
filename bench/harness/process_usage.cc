#include "bench/harness/process_usage.h"

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <fstream>

#include "core/base/check.h"

namespace sluice {

double ProcessCpuSeconds() {
  timespec time = {};
  SLUICE_CHECK_EQ(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time), 0);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t num_program_pages = 0, num_resident_pages = 0;
  statm >> num_program_pages >> num_resident_pages;
  SLUICE_CHECK(statm.good());
  return num_resident_pages * sysconf(_SC_PAGESIZE);
}

int64_t PeakResidentBytes() {
  rusage usage = {};
  SLUICE_CHECK_EQ(getrusage(RUSAGE_SELF, &usage), 0);
  return int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace sluice
