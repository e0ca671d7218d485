// What one MPI rank shares with all its communicators: its status, its view of the others, how to
// wait.
#pragma once

#include <mpi.h>

#include <string>
#include <vector>

#include "parallel/comm/communicator.h"
#include "parallel/comm/diagnosis.h"
#include "parallel/comm/mpi/rank_monitor.h"

namespace sluice::internal {

class MpiProcess {
 public:
  // Initialises MPI and exchanges boards with the ranks of this host.
  MpiProcess(const CommOptions& options, const MonitoredRank& monitored);

  int rank() const { return rank_; }
  const CommOptions& options() const { return options_; }
  RankBoard& board() { return board_; }
  RankStatus& status() { return board_.status; }

  // Throws CommError naming rank, call and MPI's text unless `code` is success.
  void Check(int code, const char* call) const;

  // Ends the call in which `done`, polled, stays false: after it passed the deadline, or when the
  // rank that is waited for has left.  The status says what is waited for.
  template <typename Done>
  void WaitUntil(const Done& done);

  // Tells the other ranks that this one is done, and waits for them.
  void Finish();

 private:
  void ShareBoards(int descriptor);
  std::vector<RankView> Views() const;
  // Called between polls, `num_polls` so far.
  void Pause(int64_t num_polls);
  void CheckPeers();

  CommOptions options_;
  RankBoard& board_;
  int rank_ = 0;
  int world_size_ = 1;
  bool has_own_core_ = true;
  // By rank; null for those of other hosts.
  std::vector<const RankBoard*> boards_;
  // When the rank that is waited for was first seen to have left, or 0.
  int64_t left_ns_ = 0;
};

template <typename Done>
void MpiProcess::WaitUntil(const Done& done) {
  left_ns_ = 0;
  for (int64_t num_polls = 0; !done(); ++num_polls) Pause(num_polls);
}

}  // namespace sluice::internal
