#include "bench/harness/job_times.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <utility>

#include "core/base/check.h"
#include "core/base/median.h"

namespace sluice {
namespace {

Payload PayloadOf(std::vector<int64_t>& numbers) {
  return {numbers.data(), std::ssize(numbers), ControlType::kInt64};
}

// The times of all ranks, on rank 0 alone.
std::vector<OpTimes> GatherOpTimes(Communicator& world, const OpTimes& own) {
  if (world.rank() != 0) {
    std::vector<int64_t> numbers = own.ToNumbers();
    std::vector<int64_t> size = {std::ssize(numbers)};
    world.Send(PayloadOf(size), {.rank = 0});
    world.Send(PayloadOf(numbers), {.rank = 0});
    return {};
  }
  std::vector<OpTimes> of_rank = {own};
  for (int rank = 1; rank < world.world_size(); ++rank) {
    std::vector<int64_t> size(1);
    world.Recv(PayloadOf(size), {.rank = rank});
    std::vector<int64_t> numbers(static_cast<size_t>(size[0]));
    world.Recv(PayloadOf(numbers), {.rank = rank});
    of_rank.push_back(OpTimes::FromNumbers(numbers));
  }
  return of_rank;
}

MicroBatchTimes MicroBatchSeconds(const Schedule& schedule, const Simulation& simulation) {
  MicroBatchTimes sum;
  for (size_t rank = 0; rank < simulation.op_times.size(); ++rank) {
    const std::vector<Op>& ops = schedule.ops_of_rank[rank];
    for (size_t i = 0; i < ops.size(); ++i) {
      if (!IsCompute(ops[i].kind)) continue;
      double& part = ops[i].kind == OpKind::kForward          ? sum.forward
                     : ops[i].kind == OpKind::kBackwardWeight ? sum.weight_gradient
                                                              : sum.input_gradient;
      part += simulation.op_times[rank][i].end_s - simulation.op_times[rank][i].start_s;
    }
  }
  const double count = schedule.num_ranks * schedule.num_micro_batches;
  return {.forward = sum.forward / count,
          .input_gradient = sum.input_gradient / count,
          .weight_gradient = sum.weight_gradient / count};
}

RankTime SimulatedWait(const Simulation& simulation) {
  RankTime wait;
  for (const RankUsage& rank : simulation.ranks) {
    const double wait_s = rank.end_s - rank.busy_s;
    wait.max_s = std::max(wait.max_s, wait_s);
    wait.mean_s += wait_s / static_cast<double>(simulation.ranks.size());
  }
  return wait;
}

}  // namespace

std::optional<JobTimes> GatherTimes(const JobPlan& plan, Communicator& world, const OpTimes& own,
                                    std::vector<double> pass_s) {
  SLUICE_CHECK_EQ(pass_s.size(), own.num_passes());
  std::vector<OpTimes> of_rank = GatherOpTimes(world, own);
  if (world.rank() != 0) return std::nullopt;
  Simulation simulation = SimulateMeasured(plan, of_rank);
  return JobTimes{std::move(pass_s), std::move(of_rank), std::move(simulation)};
}

Simulation SimulateMeasured(const JobPlan& plan, const std::vector<OpTimes>& of_rank) {
  std::array<std::vector<double>, 4> compute_s;  // by kind, then unit
  for (std::vector<double>& of_units : compute_s) {
    of_units.resize(static_cast<size_t>(NumUnits(plan.schedule)));
  }
  const auto cost_of = [&](const Op& op) -> double& {
    return compute_s[static_cast<size_t>(op.kind)]
                    [static_cast<size_t>(UnitIndex(plan.schedule, op.unit))];
  };
  for (int pipeline = 0; pipeline < plan.config.sizes.pipeline; ++pipeline) {
    const std::vector<Op>& ops = plan.schedule.ops_of_rank[static_cast<size_t>(pipeline)];
    const auto rank = static_cast<size_t>(RankOf({.pipeline = pipeline}, plan.config.sizes));
    const std::vector<double> medians_s = of_rank[rank].MediansS();
    for (size_t i = 0; i < ops.size(); ++i) {
      if (IsCompute(ops[i].kind)) cost_of(ops[i]) = medians_s[i];
    }
  }
  return Simulate(plan.schedule, {.compute_s = cost_of});
}

StepRecord RecordStep(const JobPlan& plan, const JobTimes& times) {
  size_t num_kept = times.pass_s.size();
  for (const OpTimes& rank : times.of_rank) num_kept = std::min(num_kept, rank.num_kept_passes());
  const double median_s = Median(times.pass_s);
  const auto begin = times.pass_s.begin();
  const auto nearest =
      std::ranges::min_element(begin, begin + static_cast<std::ptrdiff_t>(num_kept), {},
                               [&](double s) { return std::abs(s - median_s); });
  StepRecord record = {.predicted = times.simulation, .pass_s = *nearest, .segments = {}};
  for (int pipeline = 0; pipeline < plan.config.sizes.pipeline; ++pipeline) {
    const auto rank = static_cast<size_t>(RankOf({.pipeline = pipeline}, plan.config.sizes));
    record.segments.push_back(times.of_rank[rank].SegmentsOf(static_cast<size_t>(nearest - begin)));
  }
  return record;
}

OpTimesSummary Summarize(const JobPlan& plan, const JobTimes& times) {
  // All from one pass, so that no rank is busy for longer than the pass took.
  const size_t pass = MedianIndex(times.pass_s);
  const auto num_ranks = static_cast<double>(times.of_rank.size());
  int64_t busy_ns = 0;
  for (const OpTimes& rank : times.of_rank) busy_ns += rank.SumsOf(pass).busy_ns;
  const auto over_ranks = [&](std::initializer_list<Activity> activities) {
    RankTime time;
    for (const OpTimes& rank : times.of_rank) {
      double own_s = 0;
      for (const Activity activity : activities) {
        own_s += static_cast<double>(rank.SumsOf(pass).Of(activity)) * 1e-9;
      }
      time.max_s = std::max(time.max_s, own_s);
      time.mean_s += own_s / num_ranks;
    }
    return time;
  };
  const double busy_s = static_cast<double>(busy_ns) * 1e-9;
  return {.simulated_s = times.simulation.makespan_s,
          .simulated_bubble_fraction = times.simulation.bubble_fraction,
          .micro_batch_s = MicroBatchSeconds(plan.schedule, times.simulation),
          .simulated_wait = SimulatedWait(times.simulation),
          .measured_bubble_fraction = 1 - busy_s / (num_ranks * times.pass_s[pass]),
          .exposed_communication = over_ranks({Activity::kMessages}),
          .tensor_collectives = over_ranks({Activity::kTensorCollectives}),
          .data_collectives = over_ranks({Activity::kDataCollectives}),
          .exposed_fraction = over_ranks({Activity::kMessages, Activity::kTensorCollectives,
                                          Activity::kDataCollectives})
                                  .max_s /
                              times.pass_s[pass],
          .recorded_pass_s = Median(times.pass_s)};
}

}  // namespace sluice
