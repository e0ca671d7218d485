// Ranks as processes of any number of hosts, over Open MPI.
//
//   int main() { return RunMpiRank({.timeout_s = 60}, [](Communicator& comm) { ... }); }
//
// Started by mpirun or srun, one process a rank (tools/launch).  Waiting polls MPI with a deadline
// and yields; where ranks outnumber the cores it sleeps between polls.
//
// Every collective begins with a header from each rank to each other, which travels beside the data
// and says what is called.  A message's type and tag travel in MPI's own tag.
#pragma once

#include <functional>

#include "parallel/comm/communicator.h"

namespace sluice {

// Makes this process a rank, calls `run_rank` with all ranks' communicator, and returns the exit
// code for main.  Called once in a process, before it has threads of its own.
//
// Throws Error when no launcher started the process.  Every later fault ends the process here: the
// message is printed, the launcher ends the others.  A rank that is killed is named by its monitor
// (rank_monitor.h).
int RunMpiRank(const CommOptions& options, const std::function<void(Communicator&)>& run_rank);

// Whether a launcher started this process; may be asked before RunMpiRank, as those that follow.
bool IsLaunched();

// This process's rank, and how many the launcher has started, on all hosts and on this one; its
// number among those of this host.  Throws Error when no launcher started the process.
int MpiRank();
int MpiWorldSize();
int MpiLocalWorldSize();
int MpiLocalRank();

}  // namespace sluice
