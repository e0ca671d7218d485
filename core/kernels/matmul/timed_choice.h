// Chooses among several ways to do the same work by timing them on a stream.
//
// How long a kernel takes depends on what ran before it: on the clock, which a GPU lowers within
// milliseconds to stay within its power limit, and on what is left in the caches.  So candidates
// run by turns, in another order each round and with no wait of the host in between, each behind
// the same preparation, and are judged by medians over rounds: all of them see the clocks of a GPU
// that works on and on.
//
// The choice is the first candidate, in the order given, that takes at most 1 % more than the
// fastest.  Where the order is a good one (cuBLASLt's own estimate), noise then changes the choice
// from one process to the next only where two candidates lie just there.
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

// Times them on `stream`; returns when all have run.  Those that are slow in a first round are
// given up.
Choice ChooseByTime(Stream& stream, const Candidates& candidates);

// The choice itself, among times that are positive or kNeverNs.
Choice FirstNearFastest(std::span<const int64_t> elapsed_ns);

}  // namespace sluice
