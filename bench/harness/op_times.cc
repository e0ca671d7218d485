#include "bench/harness/op_times.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include "bench/harness/over_ranks.h"
#include "core/base/check.h"
#include "core/base/median.h"

namespace sluice {
namespace {

constexpr size_t kMaxKeptTimes = size_t{1} << 23;

RankTime OverRanks(Communicator& world, double own_s) {
  return {.max_s = MaxOverRanks(world, own_s),
          .mean_s = SumOverRanks(world, own_s) / world.world_size()};
}

// The values of all pipeline ranks, [ranks][values], from the ranks with tensor and data coordinate
// 0.  On rank 0 alone: of many ranks it would be much memory on each.
std::vector<std::vector<double>> GatherFromPipeline(const JobPlan& plan, Communicator& world,
                                                    std::vector<double> own) {
  const auto payload = [](std::vector<double>& values) {
    return Payload{values.data(), std::ssize(values), DType::kFloat64};
  };
  std::vector<std::vector<double>> all;
  for (int pipeline = 0; pipeline < plan.config.sizes.pipeline; ++pipeline) {
    const int rank = RankOf({.pipeline = pipeline}, plan.config.sizes);
    const bool is_own = world.rank() == rank;
    if (rank == 0) {
      if (is_own) all.push_back(own);
      continue;
    }
    std::vector<double> size = {static_cast<double>(own.size())};
    if (is_own) {
      world.Send(payload(size), {.rank = 0});
      if (!own.empty()) world.Send(payload(own), {.rank = 0});
    }
    if (world.rank() != 0) continue;
    world.Recv(payload(size), {.rank = rank});
    std::vector<double>& values = all.emplace_back(static_cast<size_t>(size[0]));
    if (!values.empty()) world.Recv(payload(values), {.rank = rank});
  }
  return all;
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

OpTimes::OpTimes(size_t num_ops) : num_ops_(num_ops) {}

void OpTimes::Add(const PassTimes& times) {
  SLUICE_CHECK_EQ(times.op_s.size(), num_ops_);
  sums_.push_back({.busy_s = std::accumulate(times.op_s.begin(), times.op_s.end(), 0.0),
                   .activity_s = times.activity_s});
  const size_t num_times = num_ops_ + times.segments.size();
  if (!op_s_.empty() && (op_s_.size() + 1) * num_times > kMaxKeptTimes) return;
  op_s_.emplace_back(times.op_s.begin(), times.op_s.end());
  segments_ = times.segments;
  std::vector<float>& durations_s = segment_s_.emplace_back();
  for (const TimelineSegment& segment : times.segments) {
    durations_s.push_back(static_cast<float>(segment.end_s - segment.begin_s));
  }
}

std::vector<TimelineSegment> OpTimes::Segments(size_t kept_pass) const {
  std::vector<TimelineSegment> segments = segments_;
  double now_s = 0;
  for (size_t i = 0; i < segments.size(); ++i) {
    segments[i].begin_s = now_s;
    segments[i].end_s = now_s += static_cast<double>(segment_s_[kept_pass][i]);
  }
  return segments;
}

std::vector<double> OpTimes::Medians() const {
  std::vector<double> medians_s(num_ops_);
  std::vector<double> of_op_s(op_s_.size());
  for (size_t op = 0; op < num_ops_; ++op) {
    for (size_t pass = 0; pass < op_s_.size(); ++pass) {
      of_op_s[pass] = static_cast<double>(op_s_[pass][op]);
    }
    medians_s[op] = Median(of_op_s);
  }
  return medians_s;
}

Simulation SimulateMeasured(const JobPlan& plan, Communicator& world, const OpTimes& own) {
  const std::vector<std::vector<double>> op_medians_s =
      GatherFromPipeline(plan, world, own.Medians());
  if (world.rank() != 0) return {};
  std::array<std::vector<double>, 4> compute_s;  // by kind, then unit
  for (std::vector<double>& of_units : compute_s) {
    of_units.resize(static_cast<size_t>(NumUnits(plan.schedule)));
  }
  const auto cost_of = [&](const Op& op) -> double& {
    return compute_s[static_cast<size_t>(op.kind)]
                    [static_cast<size_t>(UnitIndex(plan.schedule, op.unit))];
  };
  for (size_t rank = 0; rank < plan.schedule.ops_of_rank.size(); ++rank) {
    const std::vector<Op>& ops = plan.schedule.ops_of_rank[rank];
    for (size_t i = 0; i < ops.size(); ++i) {
      if (IsCompute(ops[i].kind)) cost_of(ops[i]) = op_medians_s[rank][i];
    }
  }
  return Simulate(plan.schedule, {.compute_s = cost_of});
}

std::optional<StepRecord> RecordStep(const JobPlan& plan, Communicator& world, const OpTimes& own,
                                     const std::vector<double>& pass_s, Simulation simulation) {
  const auto num_kept =
      static_cast<size_t>(-MaxOverRanks(world, -static_cast<int64_t>(own.num_kept_passes())));
  const double median_s = Median(pass_s);
  const auto nearest = std::ranges::min_element(
      pass_s.begin(), pass_s.begin() + static_cast<std::ptrdiff_t>(num_kept), {},
      [&](double s) { return std::abs(s - median_s); });
  std::vector<double> flat;  // activity, op, begin and end of each segment
  for (const TimelineSegment& segment :
       own.Segments(static_cast<size_t>(nearest - pass_s.begin()))) {
    flat.insert(flat.end(), {static_cast<double>(segment.activity), static_cast<double>(segment.op),
                             segment.begin_s, segment.end_s});
  }
  const std::vector<std::vector<double>> flat_of_rank =
      GatherFromPipeline(plan, world, std::move(flat));
  if (world.rank() != 0) return std::nullopt;
  StepRecord record = {.predicted = std::move(simulation), .pass_s = *nearest};
  for (const std::vector<double>& values : flat_of_rank) {
    std::vector<TimelineSegment>& segments = record.segments.emplace_back();
    for (size_t i = 0; i < values.size(); i += 4) {
      segments.push_back({.activity = static_cast<Activity>(values[i]),
                          .op = static_cast<int>(values[i + 1]),
                          .begin_s = values[i + 2],
                          .end_s = values[i + 3]});
    }
  }
  return record;
}

OpTimesSummary Summarize(const JobPlan& plan, Communicator& world, const OpTimes& own,
                         const std::vector<double>& pass_s, const Simulation& simulation) {
  SLUICE_CHECK_EQ(pass_s.size(), own.num_passes());
  // All from one pass, so that no rank is busy for longer than the pass took.
  const size_t pass = MedianIndex(pass_s);
  const double busy_s = SumOverRanks(world, own.BusySeconds(pass));
  const auto over_ranks = [&](Activity activity) {
    return OverRanks(world, own.ActivitySeconds(pass, activity));
  };
  return {.simulated_s = simulation.makespan_s,
          .simulated_bubble_fraction = simulation.bubble_fraction,
          .micro_batch_s = MicroBatchSeconds(plan.schedule, simulation),
          .simulated_wait = SimulatedWait(simulation),
          .measured_bubble_fraction = 1 - busy_s / (world.world_size() * pass_s[pass]),
          .exposed_communication = over_ranks(Activity::kMessages),
          .tensor_collectives = over_ranks(Activity::kTensorCollectives),
          .data_collectives = over_ranks(Activity::kDataCollectives),
          .recorded_pass_s = Median(pass_s)};
}

}  // namespace sluice
