#include "parallel/exec/check_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "parallel/exec/rank_memory.h"

namespace sluice {

int64_t ExecutorBytes(const JobPlan& plan, int rank, const Kernels& kernels) {
  const RankMemory memory(plan, CoordinatesOf(rank, plan.config.sizes));
  return CheckedSum("bytes of a rank", memory.bytes().total(),
                    kernels.WorkspaceBytes(memory.layout().Limits()));
}

namespace {

[[noreturn]] void Refuse(const JobPlan& plan, const std::vector<int>& ranks, const Device& device,
                         int64_t needed_bytes) {
  std::string taken;
  if (device.runtime_bytes() > 0) {
    taken = fmt::format(" beside the {} of the driver's context and kernels",
                        FormatBytes(device.runtime_bytes()));
  }
  throw Error(
      fmt::format("out of memory on {}: {} rank{} of model {} need{} {}{}, have {}; use a smaller "
                  "model, batch or "
                  "sequence, or more hosts",
                  Name(device.kind()), ranks.size(), ranks.size() == 1 ? "" : "s",
                  plan.config.model.name, ranks.size() == 1 ? "s" : "", FormatBytes(needed_bytes),
                  taken, FormatBytes(device.available_bytes())));
}

// What the weights alone need, when these are all the ranks of the job: known without a look at
// every layer and unit, of which a mistyped number may make too many to look at.
int64_t WeightBytes(const JobPlan& plan, const std::vector<int>& ranks) {
  if (static_cast<int>(ranks.size()) != plan.config.sizes.world_size()) return 0;
  return CheckedProduct("the weights' bytes", {NumParameters(plan.config.model),
                                               SizeOf(StorageDType(plan.config.precision))});
}

}  // namespace

void CheckMemory(const JobPlan& plan, const std::vector<int>& ranks, const Backend& backend,
                 OtherBytes other) {
  const int64_t weight_bytes = WeightBytes(plan, ranks);
  if (weight_bytes > backend.device->available_bytes()) {
    Refuse(plan, ranks, *backend.device, weight_bytes);
  }
  int64_t needed_bytes = 0;
  for (const int rank : ranks) {
    const int64_t executor_bytes = ExecutorBytes(plan, rank, *backend.kernels);
    const int64_t rank_bytes =
        CheckedSum("bytes of a rank", std::max(executor_bytes, other.apart), other.beside);
    needed_bytes = CheckedSum("bytes of all ranks", needed_bytes, rank_bytes);
  }
  if (needed_bytes > backend.device->available_bytes()) {
    Refuse(plan, ranks, *backend.device, needed_bytes);
  }
}

}  // namespace sluice
