#include "bench/harness/resident_memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

#include "bench/harness/over_ranks.h"
#include "core/base/check.h"

namespace sluice {
namespace {

int64_t SumOverProcesses(const RankStarter& ranks, int64_t bytes) {
  return ranks.world() == nullptr ? bytes : SumOverRanks(*ranks.world(), bytes);
}

}  // namespace

int64_t ResidentBytes(const RankStarter& ranks) {
  std::ifstream statm("/proc/self/statm");
  int64_t num_program_pages = 0, num_resident_pages = 0;
  statm >> num_program_pages >> num_resident_pages;
  SLUICE_CHECK(statm.good());
  return SumOverProcesses(ranks, num_resident_pages * sysconf(_SC_PAGESIZE));
}

int64_t PeakResidentBytes(const RankStarter& ranks) {
  rusage usage = {};
  SLUICE_CHECK_EQ(getrusage(RUSAGE_SELF, &usage), 0);
  return SumOverProcesses(ranks, int64_t{usage.ru_maxrss} * 1024);
}

}  // namespace sluice
