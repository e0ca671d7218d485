// Makes the ranks of a program, as threads of this process or as the processes of a launcher, once
// or many times.
//
//   return RunWithRanks(CommKind::kThread, {.timeout_s = 60}, [](RankStarter& ranks) {
//     ranks.Run(2, [](Communicator& world) { ... });
//     ranks.Run(4, [](Communicator& world) { ... });
//     return 0;
//   });
#pragma once

#include <functional>

#include "parallel/comm/communicator.h"
#include "programs/comm_kind.h"

namespace sluice {

class RankStarter {
 public:
  // `world`: this process as one rank; null: ranks are threads.
  RankStarter(const CommOptions& options, Communicator* world) : options_(options), world_(world) {}

  // Calls `run_rank` once per rank (in this process: for all of them, or for its own) and returns
  // when all have returned. Faults are thrown, as Error or CommError. The ranks of a launcher are
  // always the same: `world_size` is theirs, and all processes call this alike.
  void Run(int world_size, const std::function<void(Communicator&)>& run_rank);

  // This process as one rank; null where ranks are threads.
  Communicator* world() const { return world_; }

  // The rank of this process that reports: its own, or 0 of its threads.
  int rank() const { return world_ == nullptr ? 0 : world_->rank(); }

 private:
  CommOptions options_;
  Communicator* world_;
};

// Calls `run` and returns the exit code of main: what `run` returns, or that of a fault of a rank
// (comm_error.h), which has been printed. Once in a process.
int RunWithRanks(CommKind kind, const CommOptions& options,
                 const std::function<int(RankStarter&)>& run);

}  // namespace sluice
