#include "parallel/exec/memory_plan.h"

#include <algorithm>

namespace sluice {

RankBytes MemoryPlan::Sum() const {
  RankBytes sum;
  for (int rank = 0; rank < sizes.world_size(); ++rank) sum += OfRank(rank);
  return sum;
}

int64_t MemoryPlan::MaxRankBytes() const {
  int64_t max_bytes = 0;
  for (const RankBytes& bytes : of_pipeline_rank) max_bytes = std::max(max_bytes, bytes.total());
  return max_bytes;
}

MemoryPlan PlanMemory(const JobPlan& plan, int64_t kernel_bytes) {
  MemoryPlan memory = {.sizes = plan.config.sizes};
  for (int pipeline = 0; pipeline < plan.config.sizes.pipeline; ++pipeline) {
    RankBytes bytes = RankMemory(plan, {.pipeline = pipeline}).bytes();
    bytes.kernels = kernel_bytes;
    memory.of_pipeline_rank.push_back(bytes);
  }
  return memory;
}

}  // namespace sluice
