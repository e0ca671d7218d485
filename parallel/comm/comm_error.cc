#include "parallel/comm/comm_error.h"

#include <cstdio>

namespace sluice {

int RunReportingFaults(const std::function<int()>& run) {
  try {
    return run();
  } catch (const CommError& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    std::fflush(stderr);
    return error.exit_code();
  }
}

}  // namespace sluice
