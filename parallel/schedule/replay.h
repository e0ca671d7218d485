// Runs a schedule's lists on paper under an ExecutionModel: the engine behind FindError, which asks
// whether they end, and Simulate, which asks when.
//
// Whether they end does not depend on the costs: each rank is sequential and each channel in order,
// so there is no race to lose.
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
  // [num_ranks][ops of the rank]. A compute op's time of work. A send's or receive's time from the
  // start of its transfer to its end; a receive's end is no earlier than its posting.
  std::vector<std::vector<OpTime>> times;

  // [num_ranks]: the position of the op at which the rank waits for ever, or the length of its
  // list.
  std::vector<int> stopped_at;
};

// `schedule` has all units in range and its sends and receives in pairs that match in order
// (checked).
Replay ReplaySchedule(const Schedule& schedule, const ExecutionModel& model,
                      const ReplayCosts& costs);

}  // namespace sluice
