// Ranks as threads of one process.
//
//   RunThreadRanks({.world_size = 4}, [](Communicator& comm) { ... });
//
// A message is one copy, straight from the sender's memory to the receiver's, begun by whichever
// side comes second; of a long one, the other side copies a part if it waits.  Waiting is a short
// spin that gives way, and only where every rank can have a core; then sleep, so that ranks that
// outnumber the cores do not starve each other.  A buffered send allocates when more is outstanding
// than ever before.
#pragma once

#include <functional>

#include "parallel/comm/communicator.h"

namespace sluice {

struct ThreadRanksOptions {
  int world_size = 1;
  CommOptions comm = {};
};

// Calls `run_rank` once per rank, each on a thread of its own with its rank set for checks, and
// returns when all have returned.
//
// The first fault of any rank is thrown here, after all others have been woken and have ended: an
// Error as Error, everything else as CommError, each naming the rank.  A rank that returns while
// another waits for it is a fault, and so is a wait longer than the deadline.  If ranks do not end
// within 2 s of the first fault (one hangs outside any call), the process prints the message and
// exits.
void RunThreadRanks(const ThreadRanksOptions& options,
                    const std::function<void(Communicator&)>& run_rank);

}  // namespace sluice
