#include "core/base/memory_limit.h"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

#include "core/base/check.h"

namespace sluice {

void LimitMemory(int64_t more_bytes) {
  int64_t num_pages = 0;
  std::ifstream("/proc/self/statm") >> num_pages;
  const auto bytes = static_cast<rlim_t>(num_pages * getpagesize() + more_bytes);
  const rlimit limit = {bytes, bytes};
  SLUICE_CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
}

}  // namespace sluice
