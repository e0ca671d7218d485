#include "parallel/planner/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <tuple>
#include <utility>

#include "core/base/error.h"
#include "core/base/median.h"
#include "parallel/planner/lower_bound.h"
#include "parallel/planner/plan_memory.h"
#include "parallel/planner/slice_choice.h"
#include "parallel/schedule/layer_split.h"

namespace sluice {
namespace {

constexpr double kMiB = 1 << 20;

// A candidate and what is known of it before it is simulated.
struct Bounded {
  Candidate candidate;
  const std::vector<Slice>* slices = nullptr;
  double bound_s = 0;
};

class Search {
 public:
  Search(const PlanRequest& request, const UnitCosts& unit_costs, const Links& links,
         const SearchLimits& limits)
      : request_(request),
        links_(links),
        limits_(limits),
        op_costs_(unit_costs, Median),
        slice_choice_(request, op_costs_),
        memory_bound_(request) {}

  SearchResult Run();

 private:
  const LinkCosts& LinksOf(const ParallelSizes& sizes);
  FamilyCount& FamilyOf(const Candidate& candidate);
  void BoundAll();
  double BoundOf(const Candidate& candidate, const std::vector<Slice>& slices,
                 const BackwardKinds& kinds);
  // Whether the plan may still be among the best.
  bool IsNeeded(const Bounded& bounded) const;
  void Visit(const Bounded& bounded);
  void RefuseMemory(const Candidate& candidate, int64_t bytes);
  void Insert(RankedPlan plan);
  void ImproveSlices();
  void MeasureCommunication(RankedPlan* ranked) const;
  [[noreturn]] void FailNothingFits() const;

  const PlanRequest& request_;
  const Links& links_;
  const SearchLimits limits_;
  const OpCosts op_costs_;
  SliceChoice slice_choice_;
  MemoryBound memory_bound_;
  std::map<std::tuple<int, int, int>, LinkCosts> link_costs_;
  std::vector<Bounded> bounded_;  // ascending
  SearchResult result_;
};

const LinkCosts& Search::LinksOf(const ParallelSizes& sizes) {
  const auto key = std::tuple(sizes.pipeline, sizes.tensor, sizes.data);
  const auto known = link_costs_.find(key);
  if (known != link_costs_.end()) return known->second;
  return link_costs_.emplace(key, LinkCosts(links_, sizes, Median)).first->second;
}

FamilyCount& Search::FamilyOf(const Candidate& candidate) {
  return *std::ranges::find(result_.families, std::string(candidate.scheme->name),
                            &FamilyCount::scheme);
}

double Search::BoundOf(const Candidate& candidate, const std::vector<Slice>& slices,
                       const BackwardKinds& kinds) {
  const PlanCosts costs(op_costs_, LinksOf(candidate.sizes), SizesOf(request_, candidate, slices));
  return LowerBoundSeconds(costs, candidate, kinds,
                           SplitLayers(request_.model.num_layers, candidate.num_stages()));
}

void Search::BoundAll() {
  std::map<const Scheme*, BackwardKinds> kinds_of;
  for (const Scheme* scheme : request_.schemes) {
    kinds_of[scheme] = BackwardKindsOf(*scheme);
    result_.families.push_back({.scheme = std::string(scheme->name)});
  }
  // Schemes whose plans have the same sizes, placement and kinds of ops share a bound.
  std::map<std::tuple<int, int, int, const std::vector<Slice>*, int, bool, bool, bool>, double>
      known;
  for (const Candidate& candidate : result_.candidates.plans) {
    const BackwardKinds& kinds = kinds_of[candidate.scheme];
    FamilyCount& family = FamilyOf(candidate);
    ++family.num_plans;
    if (kinds.has_split && !op_costs_.Has(OpKind::kBackwardInput, candidate.sizes.tensor)) {
      family.indivisible_reason = "the costs have no input_gradient";
      ++family.num_indivisible;
      continue;
    }
    const std::vector<Slice>& slices =
        slice_choice_.Of(candidate, kinds.has_split, LinksOf(candidate.sizes));
    const auto [bound, is_new] = known.try_emplace(
        {candidate.sizes.tensor, candidate.sizes.pipeline, candidate.num_micro_batches, &slices,
         candidate.stages_per_rank(), candidate.scheme->placement == Placement::kV, kinds.has_whole,
         kinds.has_split});
    if (is_new) bound->second = BoundOf(candidate, slices, kinds);
    bounded_.push_back({candidate, &slices, bound->second});
  }
  std::ranges::stable_sort(bounded_, {}, &Bounded::bound_s);
  result_.num_bounds = std::ssize(bounded_);
}

bool Search::IsNeeded(const Bounded& bounded) const {
  if (std::ssize(result_.best) < limits_.num_best) return true;
  return bounded.bound_s < result_.best.back().step_s;
}

void Search::RefuseMemory(const Candidate& candidate, int64_t bytes) {
  FamilyCount& family = FamilyOf(candidate);
  ++family.num_too_large;
  if (family.least_memory_bytes > 0 && bytes >= family.least_memory_bytes) return;
  family.least_memory_bytes = bytes;
  family.least_memory_plan = LabelOf(candidate);
}

void Search::Visit(const Bounded& bounded) {
  Candidate candidate = bounded.candidate;
  candidate.num_slices = static_cast<int>(bounded.slices->size());
  FamilyCount& family = FamilyOf(candidate);
  try {
    const ScheduleShape shape = {.num_ranks = candidate.sizes.pipeline,
                                 .num_micro_batches = candidate.num_micro_batches,
                                 .num_slices = candidate.num_slices,
                                 .num_chunks = candidate.num_chunks};
    const std::vector<Op> ops = candidate.scheme->build(shape, 0);
    const int64_t least_bytes = memory_bound_.Of(candidate, *bounded.slices, ops);
    if (least_bytes > request_.memory_bytes) return RefuseMemory(candidate, least_bytes);

    RankedPlan ranked = {.candidate = candidate,
                         .plan = PlanJob(ConfigOf(request_, candidate, *bounded.slices)),
                         .bound_s = bounded.bound_s};
    ranked.memory_bytes = ExactMemoryBytes(request_, ranked.plan);
    if (ranked.memory_bytes > request_.memory_bytes) {
      return RefuseMemory(candidate, ranked.memory_bytes);
    }
    ++family.num_simulated;
    ++result_.num_simulations;
    ranked.step_s = SimulatedStepSeconds(ranked.plan, op_costs_, LinksOf(candidate.sizes));
    Insert(std::move(ranked));
  } catch (const Error& error) {
    ++family.num_indivisible;
    if (family.indivisible_reason.empty()) family.indivisible_reason = error.what();
  }
}

void Search::Insert(RankedPlan plan) {
  const auto before = [](const RankedPlan& a, const RankedPlan& b) {
    return std::tuple(a.step_s, a.memory_bytes) < std::tuple(b.step_s, b.memory_bytes);
  };
  result_.best.insert(std::ranges::upper_bound(result_.best, plan, before), std::move(plan));
  if (std::ssize(result_.best) > limits_.num_best) result_.best.pop_back();
}

void Search::ImproveSlices() {
  if (request_.slice_rule != SliceRule::kBalanced) return;
  std::vector<RankedPlan> plans = std::exchange(result_.best, {});
  for (RankedPlan& ranked : plans) {
    const auto step_seconds = [&](const std::vector<Slice>& slices) {
      ++result_.num_exchanges;
      JobPlan plan = ranked.plan;
      plan.config.slices = slices;
      return SimulatedStepSeconds(plan, op_costs_, LinksOf(ranked.candidate.sizes));
    };
    const std::vector<Slice> slices = ExchangeTiles(ranked.plan.config.slices, request_.slice_tile,
                                                    limits_.max_exchanges, step_seconds);
    JobPlan plan = ranked.plan;
    plan.config.slices = slices;
    const int64_t memory_bytes = ExactMemoryBytes(request_, plan);
    if (slices != ranked.plan.config.slices && memory_bytes <= request_.memory_bytes) {
      ranked.step_s = step_seconds(slices);
      ranked.memory_bytes = memory_bytes;
      ranked.plan = std::move(plan);
    }
    Insert(std::move(ranked));
  }
}

void Search::MeasureCommunication(RankedPlan* ranked) const {
  static const Links& free =
      *new Links{.within_host = {.name = "free",
                                 .latency_s = {0},
                                 .bytes_per_s = {std::numeric_limits<double>::infinity()}}};
  const JobPlan& plan = ranked->plan;
  const LinkCosts free_links(free, plan.config.sizes, Median);
  const PlanCosts costs(op_costs_, free_links, SizesOf(plan));
  const Simulation simulation =
      Simulate(plan.schedule, costs.ForSimulation(plan.schedule, plan.layers_of_stage));
  ranked->exposed_communication_s =
      ranked->step_s - costs.StepSeconds(plan.schedule, plan.layers_of_stage, simulation);
  double busy_s = 0;
  for (const RankUsage& rank : simulation.ranks) busy_s += rank.busy_s;
  ranked->bubble_fraction = 1 - busy_s / (plan.schedule.num_ranks * ranked->step_s);
}

void Search::FailNothingFits() const {
  const FamilyCount* nearest = nullptr;
  for (const FamilyCount& family : result_.families) {
    if (family.least_memory_bytes == 0) continue;
    if (nearest == nullptr || family.least_memory_bytes < nearest->least_memory_bytes) {
      nearest = &family;
    }
  }
  if (nearest == nullptr) {
    std::string reasons;
    for (const RefusedSizes& refused : result_.candidates.refused) {
      reasons += fmt::format("; {} of {} divisions: {}", refused.count,
                             result_.candidates.num_sizes, refused.reason);
    }
    throw Error(fmt::format("no plan divides {} on {} devices{}", request_.model.name,
                            request_.num_devices, reasons));
  }
  throw Error(fmt::format(
      "no plan of {} on {} devices fits into {:.1f} MiB: the nearest, {}, needs at least {:.1f} "
      "MiB; more memory, more devices or a smaller batch would fit",
      request_.model.name, request_.num_devices, static_cast<double>(request_.memory_bytes) / kMiB,
      nearest->least_memory_plan, static_cast<double>(nearest->least_memory_bytes) / kMiB));
}

SearchResult Search::Run() {
  result_.candidates = EnumerateCandidates(request_, op_costs_);
  BoundAll();
  size_t next = 0;
  while (next < bounded_.size() && IsNeeded(bounded_[next]) &&
         result_.num_simulations < limits_.max_simulations) {
    Visit(bounded_[next++]);
  }
  if (result_.best.empty()) FailNothingFits();
  const double next_s =
      next < bounded_.size() ? bounded_[next].bound_s : std::numeric_limits<double>::infinity();
  result_.best_is_proven = next_s >= result_.best.front().step_s;
  result_.all_are_proven = next_s >= result_.best.back().step_s;
  for (; next < bounded_.size(); ++next) {
    FamilyCount& family = FamilyOf(bounded_[next].candidate);
    if (family.num_bounded++ == 0) family.least_bounded_s = bounded_[next].bound_s;
  }
  ImproveSlices();
  for (RankedPlan& ranked : result_.best) MeasureCommunication(&ranked);
  return std::move(result_);
}

}  // namespace

double SimulatedStepSeconds(const JobPlan& plan, const OpCosts& op_costs,
                            const LinkCosts& link_costs) {
  const PlanCosts costs(op_costs, link_costs, SizesOf(plan));
  const Simulation simulation =
      Simulate(plan.schedule, costs.ForSimulation(plan.schedule, plan.layers_of_stage));
  return costs.StepSeconds(plan.schedule, plan.layers_of_stage, simulation);
}

SearchResult SearchPlans(const PlanRequest& request, const UnitCosts& unit_costs,
                         const Links& links, const SearchLimits& limits) {
  CheckLinks(links, request.num_devices);
  return Search(request, unit_costs, links, limits).Run();
}

}  // namespace sluice
