#include "core/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace sluice {
namespace {
thread_local int current_rank = -1;
}  // namespace

void SetCurrentRank(int rank) { current_rank = rank; }

int CurrentRank() { return current_rank; }

namespace internal {

void CheckFailed(const char* file, int line, const std::string& what) {
  const std::string rank = current_rank < 0 ? "no rank" : "rank " + std::to_string(current_rank);
  std::fprintf(stderr, "%s:%d: [%s] check failed: %s\n", file, line, rank.c_str(), what.c_str());
  std::fflush(stderr);
  std::abort();
}

}  // namespace internal
}  // namespace sluice
