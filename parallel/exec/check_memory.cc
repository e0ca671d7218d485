#include "parallel/exec/check_memory.h"

#include <fmt/format.h>

#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "parallel/exec/rank_memory.h"

namespace sluice {

int64_t ExecutorBytes(const JobPlan& plan, int rank, const Kernels& kernels) {
  const RankMemory memory(plan, CoordinatesOf(rank, plan.config.sizes));
  return CheckedSum("bytes of a rank", memory.bytes().total(),
                    kernels.WorkspaceBytes(memory.layout().Limits()));
}

void CheckMemory(const JobPlan& plan, const std::vector<int>& ranks, const Backend& backend,
                 int64_t extra_bytes) {
  int64_t needed_bytes = 0;
  for (const int rank : ranks) {
    const int64_t rank_bytes =
        CheckedSum("bytes of a rank", ExecutorBytes(plan, rank, *backend.kernels), extra_bytes);
    needed_bytes = CheckedSum("bytes of all ranks", needed_bytes, rank_bytes);
  }
  const int64_t available_bytes = backend.device->available_bytes();
  if (needed_bytes <= available_bytes) return;
  throw Error(
      fmt::format("out of memory on {}: {} rank{} of model {} need{} {}, have {}; use a smaller "
                  "model, batch or "
                  "sequence, or more hosts",
                  Name(backend.device->kind()), ranks.size(), ranks.size() == 1 ? "" : "s",
                  plan.config.model.name, ranks.size() == 1 ? "s" : "", FormatBytes(needed_bytes),
                  FormatBytes(available_bytes)));
}

}  // namespace sluice
