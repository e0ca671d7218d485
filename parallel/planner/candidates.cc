#include "parallel/planner/candidates.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace sluice {
namespace {

constexpr int kChunkCounts[] = {2, 3, 4, 6, 8};
constexpr int kSliceCounts[] = {2, 4, 8, 16, 32};

std::vector<int64_t> DivisorsOf(int64_t number) {
  std::vector<int64_t> divisors;
  for (int64_t d = 1; d * d <= number; ++d) {
    if (number % d != 0) continue;
    divisors.push_back(d);
    if (d * d != number) divisors.push_back(number / d);
  }
  std::ranges::sort(divisors);
  return divisors;
}

// Why no plan can have these sizes, or an empty text.
std::string Refusal(const PlanRequest& request, const OpCosts& costs, const ParallelSizes& sizes) {
  const ModelConfig& model = request.model;
  if (model.num_heads % sizes.tensor != 0 || model.ffn_hidden_size() % sizes.tensor != 0) {
    return fmt::format("tensor_parallel_size does not divide num_heads {}", model.num_heads);
  }
  if (sizes.pipeline > model.num_layers) {
    return fmt::format("more pipeline ranks than the {} layers", model.num_layers);
  }
  if (request.batch_size % sizes.data != 0) {
    return fmt::format("data_parallel_size does not divide batch_size {}", request.batch_size);
  }
  if (!costs.Has(OpKind::kForward, sizes.tensor) || !costs.Has(OpKind::kBackward, sizes.tensor)) {
    return fmt::format("tensor_parallel_size has no costs, which are for {}",
                       fmt::join(costs.tensor_parallel_sizes(), ", "));
  }
  return "";
}

std::vector<int> SliceCounts(const PlanRequest& request, const Scheme& scheme, int num_ranks) {
  if (!(scheme.shape_fields & kUsesSlices) || num_ranks == 1) return {1};
  if (request.slice_rule == SliceRule::kTerapipe) return {0};
  std::set<int> counts(std::begin(kSliceCounts), std::end(kSliceCounts));
  counts.insert({num_ranks, 2 * num_ranks});
  std::erase_if(counts, [&](int count) {
    return count < 2 || count * request.slice_tile > request.model.seq_len;
  });
  return {counts.begin(), counts.end()};
}

std::vector<int> ChunkCounts(const Scheme& scheme) {
  if (!(scheme.shape_fields & kUsesChunks)) return {1};
  return {std::begin(kChunkCounts), std::end(kChunkCounts)};
}

void AddPlans(const PlanRequest& request, const ParallelSizes& sizes,
              std::vector<Candidate>* plans) {
  const std::vector<int64_t> micro_batches = DivisorsOf(request.batch_size / sizes.data);
  for (const Scheme* scheme : request.schemes) {
    if ((sizes.pipeline > 1) != ((scheme->shape_fields & kUsesRanks) != 0)) continue;
    for (const int64_t num_micro_batches : micro_batches) {
      for (const int num_slices : SliceCounts(request, *scheme, sizes.pipeline)) {
        for (const int num_chunks : ChunkCounts(*scheme)) {
          const Candidate candidate = {scheme, sizes, static_cast<int>(num_micro_batches),
                                       num_slices, num_chunks};
          if (candidate.num_stages() <= request.model.num_layers) plans->push_back(candidate);
        }
      }
    }
  }
}

}  // namespace

std::string LabelOf(const Candidate& candidate) {
  std::string label = fmt::format("{} p={}", candidate.scheme->name, candidate.sizes.pipeline);
  const auto add = [&](std::string_view name, int value) {
    if (value > 1) label += fmt::format(" {}={}", name, value);
  };
  add("t", candidate.sizes.tensor);
  add("d", candidate.sizes.data);
  add("m", candidate.num_micro_batches);
  add("n", candidate.num_slices);
  add("v", candidate.num_chunks);
  return label;
}

Candidates EnumerateCandidates(const PlanRequest& request, const OpCosts& costs) {
  Candidates candidates;
  for (const int64_t tensor : DivisorsOf(request.num_devices)) {
    for (const int64_t pipeline : DivisorsOf(request.num_devices / tensor)) {
      const ParallelSizes sizes = {
          .pipeline = static_cast<int>(pipeline),
          .tensor = static_cast<int>(tensor),
          .data = static_cast<int>(request.num_devices / tensor / pipeline)};
      ++candidates.num_sizes;
      const std::string reason = Refusal(request, costs, sizes);
      if (reason.empty()) {
        AddPlans(request, sizes, &candidates.plans);
        continue;
      }
      const auto known = std::ranges::find(candidates.refused, reason, &RefusedSizes::reason);
      if (known == candidates.refused.end()) {
        candidates.refused.push_back({reason, 1});
      } else {
        ++known->count;
      }
    }
  }
  return candidates;
}

JobConfig ConfigOf(const PlanRequest& request, const Candidate& candidate,
                   std::vector<Slice> slices) {
  return {.model = request.model,
          .batch_size = request.batch_size,
          .precision = request.precision,
          .grad_dtype = request.grad_dtype,
          .scheme = std::string(candidate.scheme->name),
          .slices = std::move(slices),
          .num_micro_batches = candidate.num_micro_batches,
          .num_chunks = candidate.num_chunks,
          .sizes = candidate.sizes,
          .plan = request.plan};
}

int RankOfStage(const Candidate& candidate, int stage) {
  const int num_ranks = candidate.sizes.pipeline;
  if (candidate.scheme->placement == Placement::kV && stage >= num_ranks) {
    return 2 * num_ranks - 1 - stage;
  }
  return stage % num_ranks;
}

}  // namespace sluice
