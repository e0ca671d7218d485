// Marks the work whose instructions `perf ir` counts.
#pragma once

#include <functional>

namespace sluice {

// Calls `work`. It is never inlined, so that callgrind can toggle collection on it
// (--toggle-collect=sluice::RunCounted*) and counts the instructions of the timed work only.
// Start-up and the formatting of times take a different number in each run.
void RunCounted(const std::function<void()>& work);

}  // namespace sluice
