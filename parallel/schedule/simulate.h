// The time and memory of a schedule, simulated from the cost of each op and each link. Measurements
// report it, and tests compare the schemes with their published formulas by it.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "parallel/schedule/activation_usage.h"
#include "parallel/schedule/execution_model.h"
#include "parallel/schedule/replay.h"
#include "parallel/schedule/schedule.h"

namespace sluice {

// A channel of execution_model.h.
struct Edge {
  int from_rank = 0;
  int to_rank = 0;

  auto operator<=>(const Edge&) const = default;
};

// A transfer of n bytes holds its channel for latency_s + n / bytes_per_s.
struct LinkCost {
  double latency_s = 0;
  double bytes_per_s = std::numeric_limits<double>::infinity();
};

// The costs of ops and transfers; all but compute_s default to 0.
struct SimulationCosts {
  std::function<double(const Op& compute)> compute_s;
  std::function<int64_t(const Op& send)> transfer_bytes = [](const Op&) { return 0; };
  std::function<LinkCost(const Edge&)> link = [](const Edge&) { return LinkCost{}; };

  // Bytes that a unit's Forward keeps for its backward.
  ActivationBytes activation_bytes = [](const Unit&) { return 0; };
};

struct RankUsage {
  double start_s = 0;  // of its first compute op
  double end_s = 0;    // of its last compute op
  double busy_s = 0;   // in compute ops
  double idle_s = 0;   // end_s - start_s - busy_s

  int64_t peak_activation_bytes = 0;  // activation_usage.h
};

struct EdgeTraffic {
  Edge edge;
  int64_t num_transfers = 0;
  int64_t bytes = 0;
};

struct Simulation {
  double makespan_s = 0;         // from 0 to the end of the last compute op of any rank
  double bubble_fraction = 0;    // share of num_ranks x makespan_s in which no compute op runs
  std::vector<RankUsage> ranks;  // [num_ranks]
  std::vector<std::vector<OpTime>> op_times;  // [num_ranks][ops of the rank], as in replay.h
  std::vector<EdgeTraffic> edges;             // TrafficOf
};

// The transfers of `schedule` on each channel that has any, by from_rank, then to_rank.
std::vector<EdgeTraffic> TrafficOf(const Schedule& schedule,
                                   const std::function<int64_t(const Op& send)>& transfer_bytes);

// FindError finds nothing in `schedule` under `model` (checked: every rank reaches its end).
Simulation Simulate(const Schedule& schedule, const SimulationCosts& costs,
                    const ExecutionModel& model = {});

}  // namespace sluice
