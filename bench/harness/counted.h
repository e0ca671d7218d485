// Marks the work that `perf ir` counts.
#pragma once

#include <functional>

namespace sluice {

// Calls `work`, and nothing else.  A function of its own that no optimiser merges into another, so
// that callgrind finds its beginning and end (--toggle-collect=sluice::RunCounted*) and counts the
// instructions of the timed work alone: those of start-up and of writing measured times as text
// differ from run to run.
void RunCounted(const std::function<void()>& work);

}  // namespace sluice
