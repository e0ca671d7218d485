#include "parallel/exec/check_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <string>

#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "parallel/schedule/layer_split.h"
#include "parallel/schedule/schedule.h"

namespace sluice {
namespace {

// With more units than this, no search for how many layers would fit: each try lays out all units.
constexpr int kMaxUnitsToSearchWith = 1 << 16;

void Add(int64_t* sum, int64_t bytes) { *sum = CheckedSum("the job's bytes", *sum, bytes); }

// What a set of ranks needs of one memory.
struct JobNeed {
  RankBytes executors;
  int64_t ceilings = 0;
  int64_t results = 0;
  int64_t threads = 0;
  int worst_rank = 0;
  int64_t worst_rank_bytes = 0;

  int64_t total() const {
    int64_t sum = executors.total();
    for (const int64_t bytes : {ceilings, results, threads}) Add(&sum, bytes);
    return sum;
  }
};

JobNeed NeedOfRanks(const MemoryPlan& memory, const std::vector<int>& ranks,
                    const MemoryRoom& room) {
  const int64_t host_bytes = room.kind == DeviceKind::kCpu ? memory.host_bytes : 0;
  JobNeed need = {.threads = room.thread_bytes};
  for (const int rank : ranks) {
    const RankBytes& executor = memory.OfRank(rank);
    int64_t rank_bytes = std::max(executor.total(), memory.apart_bytes);
    if (rank_bytes > executor.total()) {
      Add(&need.ceilings, memory.apart_bytes);
    } else {
      need.executors += executor;
    }
    Add(&need.results, host_bytes);
    Add(&rank_bytes, host_bytes);
    if (rank_bytes > need.worst_rank_bytes) {
      need.worst_rank = rank;
      need.worst_rank_bytes = rank_bytes;
    }
  }
  return need;
}

// "weights 46.9 GiB, weight gradients ...": the parts of the total that are not 0.
std::string Parts(const JobNeed& need) {
  std::string text;
  const auto add = [&](std::string_view what, std::initializer_list<int64_t> parts) {
    int64_t bytes = 0;
    for (const int64_t part : parts) Add(&bytes, part);
    if (bytes == 0) return;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", what, FormatBytes(bytes));
  };
  const RankBytes& executors = need.executors;
  add("weights", {executors.weights});
  add("weight gradients", {executors.weight_gradients});
  add("activations", {executors.activations, executors.input});
  add("activation gradients", {executors.activation_gradients});
  add("workspaces", {executors.scratch, executors.kernels});
  add("the matrix-product ceilings, which need more than all of these,", {need.ceilings});
  add("results", {need.results});
  add("stacks of threads", {need.threads});
  return text;
}

// The most layers with which the same ranks fit; 0 if not even one a stage fits.
int64_t NumLayersThatFit(JobPlan plan, const MemoryPlan& memory, const std::vector<int>& ranks,
                         const MemoryRoom& room) {
  // The kernels' workspace does not depend on the number of layers.
  const int64_t kernel_bytes = memory.of_pipeline_rank.front().kernels;
  int64_t fits = plan.schedule.num_stages - 1;
  for (int64_t too_many = plan.config.model.num_layers; fits + 1 < too_many;) {
    const int64_t num_layers = fits + (too_many - fits) / 2;
    plan.config.model.num_layers = num_layers;
    plan.layers_of_stage = SplitLayers(num_layers, plan.schedule.num_stages);
    MemoryPlan fewer = PlanMemory(plan, kernel_bytes);
    fewer.host_bytes = memory.host_bytes;
    fewer.apart_bytes = memory.apart_bytes;
    const bool is_enough = NeedOfRanks(fewer, ranks, room).total() <= room.available_bytes;
    (is_enough ? fits : too_many) = num_layers;
  }
  return fits < plan.schedule.num_stages ? 0 : fits;
}

std::string WhatWouldFit(const JobPlan& plan, const MemoryPlan& memory,
                         const std::vector<int>& ranks, const MemoryRoom& room,
                         const JobNeed& need) {
  std::string text;
  const int64_t bytes_of_threads = need.threads / std::ssize(ranks);
  const int64_t num_fitting =
      room.available_bytes / std::max<int64_t>(1, need.worst_rank_bytes + bytes_of_threads);
  if (ranks.size() > 1 && num_fitting > 0) {
    text = fmt::format("{} rank{} like it, so {} hosts like this one", num_fitting,
                       num_fitting == 1 ? "" : "s",
                       CeilDiv(plan.config.sizes.world_size(), num_fitting));
  }
  const int64_t num_layers = NumUnits(plan.schedule) <= kMaxUnitsToSearchWith
                                 ? NumLayersThatFit(plan, memory, ranks, room)
                                 : 0;
  if (num_layers > 0) {
    text += fmt::format("{}num_layers {} instead of {}", text.empty() ? "" : ", or ", num_layers,
                        plan.config.model.num_layers);
  }
  return text.empty() ? "a smaller hidden_size, seq_len or batch_size" : text;
}

}  // namespace

void CheckMemory(const JobPlan& plan, const MemoryPlan& memory, const std::vector<int>& ranks,
                 const MemoryRoom& room) {
  const JobNeed need = NeedOfRanks(memory, ranks, room);
  if (need.total() <= room.available_bytes) return;
  std::string taken;
  if (room.runtime_bytes > 0) {
    taken = fmt::format(" beside the {} of the driver's context and kernels",
                        FormatBytes(room.runtime_bytes));
  }
  throw Error(fmt::format(
      "out of memory on {}: {} rank{} of model {} need{} {}{}, have {}; {}; rank {} needs the "
      "most, {}; would fit: {}",
      Name(room.kind), ranks.size(), ranks.size() == 1 ? "" : "s", plan.config.model.name,
      ranks.size() == 1 ? "s" : "", FormatBytes(need.total()), taken,
      FormatBytes(room.available_bytes), Parts(need), need.worst_rank,
      FormatBytes(need.worst_rank_bytes), WhatWouldFit(plan, memory, ranks, room, need)));
}

}  // namespace sluice
