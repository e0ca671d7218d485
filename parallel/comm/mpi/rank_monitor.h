// A small process beside each MPI rank that says how the rank ended.
//
// A rank that is killed cannot say so, and mpirun knows the signal but not the step.  So before MPI
// starts, the process that mpirun made forks: the child becomes the rank, the parent waits for it
// and, when it ends other than by finishing, prints the first message: rank, signal, step and op.
// It then ends the same way, which is what mpirun sees. What the rank does is read from a
// RankBoard in memory shared between them; it has no name, so nothing can be left behind.
//
// If the parent dies, by mpirun's death say, the rank is killed with it.
#pragma once

#include <atomic>
#include <cstdint>

#include "parallel/comm/rank_status.h"

namespace sluice::internal {

struct RankBoard {
  RankStatus status;
  // The rank has printed its own message.
  std::atomic<bool> has_reported{false};
};

// What the launcher told this process through its environment (Open MPI, PMIx or Slurm).
struct LaunchedRank {
  int rank = 0;
  int world_size = 1;
  // Ranks of this host, and this one's number among them.
  int num_local = 1;
  int local_rank = 0;
};

bool IsLaunched();

// Throws Error where no launcher started this process.
LaunchedRank GetLaunchedRank();

struct MonitoredRank {
  RankBoard* board;
  // The file of the board's memory, which other ranks of this host open through /proc.
  int descriptor;
};

// Forks, and returns in the rank.  The monitor never returns: it exits as the rank did, or with
// kDeadlineExitCode after `start_timeout_s` without SetPhase(kRunning), then naming the ranks of
// this host that have not come.
MonitoredRank ForkMonitoredRank(const LaunchedRank& launched, double start_timeout_s);

// Maps the board of another rank of this host for reading; nullptr where it cannot be.
const RankBoard* OpenBoard(int process_id, int descriptor);

}  // namespace sluice::internal
