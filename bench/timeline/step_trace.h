// A step as Chrome trace events, which Perfetto (ui.perfetto.dev) and chrome://tracing open.
//
// Each pipeline rank is a process "predicted rank r", and a process "measured rank r" where there
// is a measurement; both start at 0. The tracks of a process:
//
//   compute             one slice per compute op, named as in the text form of a schedule
//   ("F2.3.1") waits               measured: waiting for messages tensor collectives  measured:
//   inside the compute op that they interrupt data collectives    measured: the sum of gradients at
//   the end of a step to rank r, from rank r   predicted: transfers of that channel activation MiB
//   a counter: activations kept for the backward
//
// An arrow leads from each message's sender to the compute op that needs it. Arguments of a slice:
// stage, micro_batch, slice, layers, activation or message bytes, and predicted_us.
#pragma once

#include <string>
#include <vector>

#include "bench/timeline/timed_step.h"

namespace sluice {

// The JSON text. Times are microseconds with three decimals.
std::string TraceJson(const std::vector<TimedStep>& steps);

// Writes TraceJson atomically, compressed where `path` ends in ".gz". Throws Error.
void WriteTrace(const std::string& path, const std::vector<TimedStep>& steps);

}  // namespace sluice
