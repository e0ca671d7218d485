// Who is at fault when a wait passes its deadline: found by following who waits for whom.
#pragma once

#include <span>
#include <string>

#include "parallel/comm/rank_status.h"

namespace sluice {

// What is known of one rank of all.
struct RankView {
  // nullptr when it cannot be seen from here (another host).
  const RankStatus* status = nullptr;
  // The rank that it waits for, -1 when none; itself when it is its own device that does not end.
  int waits_for = -1;
  // It began to wait, but no longer looks whether it still must: it is stopped, say.
  bool is_silent = false;
};

// For a rank that waits for all, on a device, where nothing says for whom: the first other rank
// that is in no wait, or waits for its own device; else the first at an earlier step or that has
// left; else the first that cannot be seen from here; -1 when there is none.
int FirstLate(std::span<const RankView> ranks, int rank);

// Follows the waits from `rank` to the rank at their end, or returns -1 when they go in a circle.
int EndOfChain(std::span<const RankView> ranks, int rank);

// Returns the message for `reporter`, whose wait has lasted `waited_s`.  The first line names the
// rank at fault (the end of the chain of waits), and the reporter's op, position, peer and bytes;
// then comes a line a rank with what it does and what it completed last.
std::string DescribeDeadline(std::span<const RankView> ranks, int reporter, double waited_s);

// Returns the message for `reporter`, which waits for `gone`, a rank that has left.
std::string DescribeLeft(std::span<const RankView> ranks, int reporter, int gone);

}  // namespace sluice
