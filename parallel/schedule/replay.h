// Replays a schedule under an ExecutionModel without computing anything. FindError uses it to learn
// whether every rank reaches the end of its list, Simulate to learn when.
//
// Whether the ranks reach the end does not depend on the costs: each rank is sequential and each
// channel is in order, so there are no races.
#pragma once

#include <functional>
#include <vector>

#include "parallel/schedule/execution_model.h"
#include "parallel/schedule/schedule.h"

namespace sluice {

struct OpTime {
  double start_s = 0;
  double end_s = 0;
};

struct ReplayCosts {
  std::function<double(const Op& compute)> compute_s;
  std::function<double(const Op& send)> transfer_s;
};

struct Replay {
  // [num_ranks][ops of the rank]. For a compute op, its start and end. For a send or receive, the
  // start and end of its transfer; a receive ends no earlier than it was posted.
  std::vector<std::vector<OpTime>> times;

  // [num_ranks]: the position of the op at which the rank waits forever, or the length of its list.
  std::vector<int> stopped_at;
};

// Every unit of `schedule` is in range, and its sends and receives match in order (checked).
Replay ReplaySchedule(const Schedule& schedule, const ExecutionModel& model,
                      const ReplayCosts& costs);

}  // namespace sluice
