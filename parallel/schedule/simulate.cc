#include "parallel/schedule/simulate.h"

#include <algorithm>
#include <map>

#include "core/base/check.h"

namespace sluice {
namespace {

Edge EdgeOf(const Schedule& schedule, const Op& send) {
  return {schedule.rank_of_stage[send.unit.stage], PeerRank(schedule, send)};
}

// Compute ops of a rank do not overlap, so their order in the list is their order in time.
RankUsage SumUp(const Schedule& schedule, const SimulationCosts& costs, int rank,
                const std::vector<OpTime>& times) {
  RankUsage usage = {.peak_activation_bytes =
                         PeakActivationBytes(schedule, rank, costs.activation_bytes)};
  bool is_first = true;
  const std::vector<Op>& ops = schedule.ops_of_rank[rank];
  for (size_t i = 0; i < ops.size(); ++i) {
    if (!IsCompute(ops[i].kind)) continue;
    if (is_first) usage.start_s = times[i].start_s;
    is_first = false;
    usage.end_s = times[i].end_s;
    usage.busy_s += times[i].end_s - times[i].start_s;
  }
  usage.idle_s = usage.end_s - usage.start_s - usage.busy_s;
  return usage;
}

}  // namespace

std::vector<EdgeTraffic> TrafficOf(const Schedule& schedule,
                                   const std::function<int64_t(const Op& send)>& transfer_bytes) {
  std::map<Edge, EdgeTraffic> traffic;
  for (const std::vector<Op>& ops : schedule.ops_of_rank) {
    for (const Op& op : ops) {
      if (!IsSend(op.kind)) continue;
      EdgeTraffic& edge = traffic[EdgeOf(schedule, op)];
      edge.edge = EdgeOf(schedule, op);
      ++edge.num_transfers;
      edge.bytes += transfer_bytes(op);
    }
  }
  std::vector<EdgeTraffic> edges;
  for (const auto& [edge, sum] : traffic) edges.push_back(sum);
  return edges;
}

Simulation Simulate(const Schedule& schedule, const SimulationCosts& costs,
                    const ExecutionModel& model) {
  const auto transfer_s = [&](const Op& send) {
    const LinkCost link = costs.link(EdgeOf(schedule, send));
    return link.latency_s + static_cast<double>(costs.transfer_bytes(send)) / link.bytes_per_s;
  };
  Replay replay = ReplaySchedule(schedule, model, {costs.compute_s, transfer_s});
  Simulation simulation;
  double busy_s = 0;
  for (int rank = 0; rank < schedule.num_ranks; ++rank) {
    SLUICE_CHECK_EQ(replay.stopped_at[rank], std::ssize(schedule.ops_of_rank[rank]));
    const RankUsage usage = SumUp(schedule, costs, rank, replay.times[rank]);
    simulation.makespan_s = std::max(simulation.makespan_s, usage.end_s);
    busy_s += usage.busy_s;
    simulation.ranks.push_back(usage);
  }
  if (simulation.makespan_s > 0) {
    simulation.bubble_fraction = 1 - busy_s / (schedule.num_ranks * simulation.makespan_s);
  }
  simulation.op_times = std::move(replay.times);
  simulation.edges = TrafficOf(schedule, costs.transfer_bytes);
  return simulation;
}

}  // namespace sluice
