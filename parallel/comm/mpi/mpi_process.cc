#include "parallel/comm/mpi/mpi_process.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <fstream>
#include <thread>

#include "parallel/comm/comm_error.h"

namespace sluice::internal {
namespace {

// Polls with no pause, where every rank can have a core: tens of microseconds.
constexpr int64_t kSpins = 200;
// Then polls that yield, and where ranks outnumber cores, sleep.
constexpr int64_t kYields = 1000;
constexpr useconds_t kSleepUs = 20;
constexpr int64_t kPollsPerCheck = 64;

// A message may be on its way when its sender has left.
constexpr int64_t kLeftGraceNs = 1'000'000'000;
// A rank that waits and has not polled for so long is stopped, not only short of a core.
constexpr double kSilentS = 0.5;
// Ranks of the other host see more of it than this one, so they speak first.
constexpr double kRemoteGraceS = 1.5;

// What ranks tell each other at the start.
struct Introduction {
  std::array<char, 64> host;
  int process_id;
  int descriptor;
};

// Keeps what was installed for the signals of a crash while it lives, and puts it back at its end.
class CrashHandlers {
 public:
  CrashHandlers() {
    for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], nullptr, &actions_[i]);
  }
  ~CrashHandlers() {
    for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &actions_[i], nullptr);
  }
  CrashHandlers(const CrashHandlers&) = delete;
  CrashHandlers& operator=(const CrashHandlers&) = delete;

 private:
  static constexpr std::array<int, 5> kSignals = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
  std::array<struct sigaction, kSignals.size()> actions_;
};

// The running kernel and the process numbers seen in it: equal where boards can be opened.
std::string HostName() {
  std::ifstream boot("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(boot, id);
  char pid_namespace[32] = {};
  if (readlink("/proc/self/ns/pid", pid_namespace, sizeof(pid_namespace) - 1) < 0) return id;
  return id + pid_namespace;
}

}  // namespace

MpiProcess::MpiProcess(const CommOptions& options, const MonitoredRank& monitored)
    : options_(options), board_(*monitored.board) {
  // MPI would answer a crash with a page of its own before the monitor's line.
  const CrashHandlers handlers;
  int provided = 0;
  Check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  Check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  Check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
  Check(MPI_Comm_size(MPI_COMM_WORLD, &world_size_), "MPI_Comm_size");
  ShareBoards(monitored.descriptor);
  board_.status.SetPhase(RankPhase::kRunning);
}

void MpiProcess::ShareBoards(int descriptor) {
  Introduction mine{{}, getpid(), descriptor};
  const std::string host = HostName();
  std::memcpy(mine.host.data(), host.data(), std::min(host.size(), mine.host.size() - 1));
  std::vector<Introduction> all(world_size_);
  Check(MPI_Allgather(&mine, sizeof(mine), MPI_BYTE, all.data(), sizeof(mine), MPI_BYTE,
                      MPI_COMM_WORLD),
        "MPI_Allgather");
  boards_.assign(world_size_, nullptr);
  unsigned num_local = 0;
  for (int rank = 0; rank < world_size_; ++rank) {
    if (all[rank].host != mine.host) continue;
    ++num_local;
    boards_[rank] = rank == rank_ ? &board_ : OpenBoard(all[rank].process_id, all[rank].descriptor);
  }
  has_own_core_ = num_local <= std::thread::hardware_concurrency();
}

void MpiProcess::Check(int code, const char* call) const {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int size = 0;
  MPI_Error_string(code, text, &size);
  throw CommError(fmt::format("rank {}: {} failed {}: {} ({})", rank_, call,
                              board_.status.DescribePosition(), std::string(text, size), code),
                  kFaultExitCode);
}

std::vector<RankView> MpiProcess::Views() const {
  // Who is at fault stopped when the others began to wait, a deadline ago.
  const auto silent_ns = static_cast<int64_t>(std::max(kSilentS, options_.timeout_s / 2) * 1e9);
  const int64_t now_ns = MonotonicNs();
  std::vector<RankView> views(world_size_);
  for (int rank = 0; rank < world_size_; ++rank) {
    if (boards_[rank] == nullptr) continue;
    const RankStatus& status = boards_[rank]->status;
    const bool is_silent =
        status.wait_begin_ns() != 0 && now_ns - status.beat_ns() > silent_ns && rank != rank_;
    views[rank] = {&status, status.wait_peer(), is_silent};
  }
  for (int rank = 0; rank < world_size_; ++rank) {
    // A device that waits for all: other waits know for whom.
    const bool is_unknown = views[rank].status != nullptr &&
                            views[rank].status->wait_begin_ns() != 0 && views[rank].waits_for < 0;
    if (is_unknown) views[rank].waits_for = FirstLate(views, rank);
  }
  return views;
}

void MpiProcess::Pause(int64_t num_polls) {
  if (has_own_core_ && num_polls < kSpins) return;
  if (has_own_core_ || num_polls < kYields) {
    sched_yield();
  } else {
    usleep(kSleepUs);
  }
  if (num_polls % kPollsPerCheck == 0) CheckPeers();
}

void MpiProcess::CheckPeers() {
  const int64_t now_ns = MonotonicNs();
  status().Beat(now_ns);
  const int peer = status().wait_peer();
  if (peer >= 0 && boards_[peer] != nullptr &&
      boards_[peer]->status.phase() == RankPhase::kFinished) {
    if (left_ns_ == 0) left_ns_ = now_ns;
    if (now_ns - left_ns_ > kLeftGraceNs) {
      throw CommError(DescribeLeft(Views(), rank_, peer), kFaultExitCode);
    }
  }
  const double waited_s = static_cast<double>(now_ns - status().wait_begin_ns()) * 1e-9;
  if (waited_s <= options_.timeout_s) return;
  const std::vector<RankView> views = Views();
  const int culprit = EndOfChain(views, rank_);
  const bool is_remote = culprit >= 0 && views[culprit].status == nullptr;
  if (is_remote && waited_s <= options_.timeout_s + kRemoteGraceS) return;
  throw CommError(DescribeDeadline(views, rank_, waited_s), kDeadlineExitCode);
}

void MpiProcess::Finish() {
  status().SetPhase(RankPhase::kFinished);
  MPI_Request request = MPI_REQUEST_NULL;
  Check(MPI_Ibarrier(MPI_COMM_WORLD, &request), "MPI_Ibarrier");
  // No deadline: rank 0 may have much to write.  A rank that fails now is named by itself or by its
  // monitor, and the launcher ends this one.
  int done = 0;
  while (true) {
    Check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
    if (done != 0) break;
    usleep(kSleepUs);
  }
  Check(MPI_Finalize(), "MPI_Finalize");
}

}  // namespace sluice::internal
