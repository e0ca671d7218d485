#include "parallel/exec/check_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>

#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "parallel/exec/rank_memory.h"
#include "parallel/schedule/layer_split.h"
#include "parallel/schedule/schedule.h"

namespace sluice {
namespace {

// Beyond this, how many layers would fit is not searched for: each try lays out all units.
constexpr int kMaxUnitsToSearchWith = 1 << 16;

void Add(int64_t* sum, int64_t bytes) { *sum = CheckedSum("the job's bytes", *sum, bytes); }

// What a set of ranks needs of one memory.
struct JobNeed {
  ExecutorNeed executors;
  int64_t ceilings = 0;
  int64_t beside = 0;
  int64_t threads = 0;
  int worst_rank = 0;
  int64_t worst_rank_bytes = 0;

  int64_t total() const {
    int64_t sum = executors.total();
    for (const int64_t bytes : {ceilings, beside, threads}) Add(&sum, bytes);
    return sum;
  }
};

JobNeed NeedOfRanks(const JobPlan& plan, const std::vector<int>& ranks, const Kernels& kernels,
                    const OtherBytes& other) {
  std::map<int, ExecutorNeed> need_of_pipeline_rank;
  JobNeed need = {.threads = other.threads};
  for (const int rank : ranks) {
    const int pipeline = CoordinatesOf(rank, plan.config.sizes).pipeline;
    const auto [entry, is_new] = need_of_pipeline_rank.try_emplace(pipeline);
    if (is_new) entry->second = NeedOf(plan, pipeline, kernels);
    const ExecutorNeed& own = entry->second;
    if (own.total() >= other.apart) {
      Add(&need.executors.weights, own.weights);
      Add(&need.executors.weight_gradients, own.weight_gradients);
      Add(&need.executors.activations, own.activations);
      Add(&need.executors.activation_gradients, own.activation_gradients);
      Add(&need.executors.workspaces, own.workspaces);
    } else {
      Add(&need.ceilings, other.apart);
    }
    Add(&need.beside, other.beside);
    int64_t rank_bytes = std::max(own.total(), other.apart);
    Add(&rank_bytes, other.beside);
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
  const auto add = [&](std::string_view what, int64_t bytes) {
    if (bytes == 0) return;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", what, FormatBytes(bytes));
  };
  add("weights", need.executors.weights);
  add("weight gradients", need.executors.weight_gradients);
  add("activations", need.executors.activations);
  add("activation gradients", need.executors.activation_gradients);
  add("workspaces", need.executors.workspaces);
  add("the matrix-product ceilings, which need more than all of these,", need.ceilings);
  add("results", need.beside);
  add("stacks of threads", need.threads);
  return text;
}

// The most layers with which the same ranks fit; 0 if not even one a stage.
int64_t NumLayersThatFit(JobPlan plan, const std::vector<int>& ranks, const Backend& backend,
                         const OtherBytes& other) {
  int64_t fits = plan.schedule.num_stages - 1;
  for (int64_t too_many = plan.config.model.num_layers; fits + 1 < too_many;) {
    const int64_t num_layers = fits + (too_many - fits) / 2;
    plan.config.model.num_layers = num_layers;
    plan.layers_of_stage = SplitLayers(num_layers, plan.schedule.num_stages);
    const int64_t needed_bytes = NeedOfRanks(plan, ranks, *backend.kernels, other).total();
    (needed_bytes <= backend.device->available_bytes() ? fits : too_many) = num_layers;
  }
  return fits < plan.schedule.num_stages ? 0 : fits;
}

std::string WhatWouldFit(const JobPlan& plan, const std::vector<int>& ranks, const Backend& backend,
                         const OtherBytes& other, const JobNeed& need) {
  std::string text;
  const int64_t bytes_of_threads = need.threads / std::ssize(ranks);
  const int64_t num_fitting = backend.device->available_bytes() /
                              std::max<int64_t>(1, need.worst_rank_bytes + bytes_of_threads);
  if (ranks.size() > 1 && num_fitting > 0) {
    text = fmt::format("{} rank{} like it, so {} hosts like this one", num_fitting,
                       num_fitting == 1 ? "" : "s",
                       CeilDiv(plan.config.sizes.world_size(), num_fitting));
  }
  const int64_t num_layers = NumUnits(plan.schedule) <= kMaxUnitsToSearchWith
                                 ? NumLayersThatFit(plan, ranks, backend, other)
                                 : 0;
  if (num_layers > 0) {
    text += fmt::format("{}num_layers {} instead of {}", text.empty() ? "" : ", or ", num_layers,
                        plan.config.model.num_layers);
  }
  return text.empty() ? "a smaller hidden_size, seq_len or batch_size" : text;
}

[[noreturn]] void Refuse(const JobPlan& plan, const std::vector<int>& ranks, const Backend& backend,
                         const OtherBytes& other, const JobNeed& need) {
  const Device& device = *backend.device;
  std::string taken;
  if (device.runtime_bytes() > 0) {
    taken = fmt::format(" beside the {} of the driver's context and kernels",
                        FormatBytes(device.runtime_bytes()));
  }
  throw Error(fmt::format(
      "out of memory on {}: {} rank{} of model {} need{} {}{}, have {}; {}; rank {} needs the "
      "most, "
      "{}; would fit: {}",
      Name(device.kind()), ranks.size(), ranks.size() == 1 ? "" : "s", plan.config.model.name,
      ranks.size() == 1 ? "s" : "", FormatBytes(need.total()), taken,
      FormatBytes(device.available_bytes()), Parts(need), need.worst_rank,
      FormatBytes(need.worst_rank_bytes), WhatWouldFit(plan, ranks, backend, other, need)));
}

}  // namespace

int64_t ExecutorNeed::total() const {
  int64_t sum = 0;
  for (const int64_t bytes :
       {weights, weight_gradients, activations, activation_gradients, workspaces}) {
    Add(&sum, bytes);
  }
  return sum;
}

ExecutorNeed NeedOf(const JobPlan& plan, int pipeline, const Kernels& kernels) {
  const RankMemory memory(plan, {.pipeline = pipeline});
  const RankBytes& bytes = memory.bytes();
  return {.weights = bytes.weights,
          .weight_gradients = bytes.weight_gradients,
          .activations = CheckedSum("activations in bytes", bytes.activations, bytes.input),
          .activation_gradients = bytes.activation_gradients,
          .workspaces = CheckedSum("workspaces in bytes", bytes.scratch,
                                   kernels.WorkspaceBytes(memory.layout().Limits()))};
}

void CheckMemory(const JobPlan& plan, const std::vector<int>& ranks, const Backend& backend,
                 OtherBytes other) {
  const JobNeed need = NeedOfRanks(plan, ranks, *backend.kernels, other);
  if (need.total() > backend.device->available_bytes()) Refuse(plan, ranks, backend, other, need);
}

}  // namespace sluice
