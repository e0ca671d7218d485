// Chooses among several ways to do the same work by timing them on a stream.
//
// The time of a kernel depends on what ran before it: on the clock, which a GPU lowers within
// milliseconds to stay within its power limit, and on what is left in the caches.  So candidates
// alternate, in another order each round and without a wait of the host in between, each after the
// same preparation, and their medians over rounds are compared: all candidates run at the clocks of
// a GPU under continuous load.
//
// The choice is the first candidate, in the order given, that takes at most 1 % more than the
// fastest.  If the order is a good one (cuBLASLt's own estimate), noise changes the choice from one
// process to the next only if two candidates are close to that limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>

#include "core/device/device.h"

namespace sluice {

// The time of a candidate that cannot do the work.
inline constexpr int64_t kNeverNs = std::numeric_limits<int64_t>::max();

struct Choice {
  size_t index = 0;
  int64_t elapsed_ns = kNeverNs;  // its median; kNeverNs: none of the candidates can do the work
};

struct Candidates {
  size_t count = 0;

  // Enqueues what comes before each candidate and is not timed.
  std::function<void()> prepare;

  // Enqueues candidate `index`, or returns false and does nothing.
  std::function<bool(size_t index)> enqueue;
};

// Times them on `stream`; returns when all have run.  Candidates that are slow in the first round
// do not run again.
Choice Autotune(Stream& stream, const Candidates& candidates);

// The choice itself, among times that are positive or kNeverNs.
Choice FirstNearFastest(std::span<const int64_t> elapsed_ns);

}  // namespace sluice
