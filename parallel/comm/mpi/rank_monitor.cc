#include "parallel/comm/mpi/rank_monitor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/parse.h"
#include "parallel/comm/comm_error.h"

namespace sluice::internal {
namespace {

volatile std::sig_atomic_t stopped_by_launcher = 0;

void NoteStop(int) { stopped_by_launcher = 1; }

void Print(const std::string& message) {
  // One write, so that lines of several ranks do not mix.
  const std::string line = "error: " + message + "\n";
  if (write(STDERR_FILENO, line.data(), line.size()) < 0) return;
}

// A name that all ranks of one launch share and no other launch has.
std::string LaunchName() {
  for (const char* variable : {"PMIX_NAMESPACE", "SLURM_JOB_ID"}) {
    if (const char* value = std::getenv(variable)) {
      const char* step = std::getenv("SLURM_STEP_ID");
      return fmt::format("sluice.{}.{}.{}", getuid(), value, step == nullptr ? "" : step);
    }
  }
  return "";
}

// Takes the abstract socket name of a rank.  The name lasts as long as the process, leaves no file,
// and is seen by this host only.  Returns the socket, or -1 when the rank holds it already.
int TakeRankName(int rank) {
  const std::string name = fmt::format("{}.{}", LaunchName(), rank);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(),
              std::min(name.size(), sizeof(address.sun_path) - 1));
  const int socket_descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const socklen_t size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (bind(socket_descriptor, reinterpret_cast<sockaddr*>(&address), size) == 0) {
    return socket_descriptor;
  }
  close(socket_descriptor);
  return -1;
}

struct JoinedRanks {
  std::vector<int> here;
  std::vector<int> missing;
};

JoinedRanks FindJoinedRanks(const LaunchedRank& launched) {
  JoinedRanks joined;
  for (int rank = 0; rank < launched.world_size; ++rank) {
    const int held = rank == launched.rank ? -1 : TakeRankName(rank);
    (held < 0 ? joined.here : joined.missing).push_back(rank);
    if (held >= 0) close(held);
  }
  return joined;
}

std::string DescribeStart(const LaunchedRank& launched, const JoinedRanks& joined,
                          double timeout_s) {
  std::string text = fmt::format("deadline passed: MPI did not start within {:.3g} s; ", timeout_s);
  text += fmt::format("{} of the {} ranks of this host joined: {}", joined.here.size(),
                      launched.num_local, fmt::join(joined.here, ", "));
  // Those of other hosts are not seen from here.
  if (launched.num_local == launched.world_size && !joined.missing.empty()) {
    text += fmt::format("; missing: {}", fmt::join(joined.missing, ", "));
  }
  return text;
}

// Waits until the rank has started, or kills it and exits.
void AwaitStart(pid_t child, const RankBoard& board, const LaunchedRank& launched,
                double timeout_s) {
  const int64_t begin_ns = MonotonicNs();
  while (board.status.phase() == RankPhase::kNotStarted) {
    siginfo_t info{};
    if (waitid(P_PID, child, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == child) {
      return;
    }
    if (static_cast<double>(MonotonicNs() - begin_ns) * 1e-9 > timeout_s) {
      const JoinedRanks joined = FindJoinedRanks(launched);
      // The first message is that of the lowest rank of a host where one is missing.
      if (joined.here.front() != launched.rank) usleep(500'000);
      if (static_cast<int>(joined.here.size()) == launched.num_local) usleep(1'000'000);
      Print(DescribeStart(launched, joined, timeout_s));
      kill(child, SIGKILL);
      _exit(kDeadlineExitCode);
    }
    usleep(10'000);
  }
}

[[noreturn]] void EndAs(const RankBoard& board, int rank, int wait_status) {
  const RankStatus& status = board.status;
  const bool may_speak = !board.has_reported.load() && stopped_by_launcher == 0;
  if (WIFSIGNALED(wait_status)) {
    const int signal_number = WTERMSIG(wait_status);
    if (may_speak) {
      Print(fmt::format("rank {} was killed by signal {} ({}) {}; it {}", rank, signal_number,
                        strsignal(signal_number), status.DescribePosition(),
                        status.DescribeActivity()));
    }
    // The same end for the launcher to see, without a second core file.
    std::signal(signal_number, SIG_DFL);
    prctl(PR_SET_DUMPABLE, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    kill(getpid(), signal_number);
    _exit(128 + signal_number);
  }
  const int code = WEXITSTATUS(wait_status);
  if (status.phase() == RankPhase::kFinished || board.has_reported.load()) _exit(code);
  if (may_speak) {
    Print(fmt::format("rank {} left before step {} was done, with exit code {}: it {}", rank,
                      status.step(), code, status.DescribeActivity()));
  }
  _exit(code == 0 ? kFaultExitCode : code);
}

[[noreturn]] void Monitor(pid_t child, const RankBoard& board, const LaunchedRank& launched,
                          double start_timeout_s) {
  prctl(PR_SET_NAME, "sluice-monitor");
  AwaitStart(child, board, launched, start_timeout_s);
  int wait_status = 0;
  while (waitpid(child, &wait_status, 0) < 0 && errno == EINTR) {
  }
  EndAs(board, launched.rank, wait_status);
}

const char* FirstOf(std::initializer_list<const char*> variables) {
  for (const char* variable : variables) {
    if (const char* value = std::getenv(variable)) return value;
  }
  return nullptr;
}

const char* RankText() { return FirstOf({"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID"}); }

const char* WorldSizeText() { return FirstOf({"OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS"}); }

}  // namespace

bool IsLaunched() { return RankText() != nullptr && WorldSizeText() != nullptr; }

LaunchedRank GetLaunchedRank() {
  const char* rank = RankText();
  const char* size = WorldSizeText();
  if (!IsLaunched()) {
    throw Error(
        "--comm=mpi: this process was not started by mpirun or srun; start it with "
        "tools/launch/launch");
  }
  constexpr int kMaxRanks = 1 << 20;
  const char* local_size = FirstOf({"OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_NTASKS_PER_NODE"});
  LaunchedRank launched;
  launched.rank = static_cast<int>(ParseInteger("the launcher's rank", rank, {0, kMaxRanks - 1}));
  launched.world_size =
      static_cast<int>(ParseInteger("the launcher's world size", size, {1, kMaxRanks}));
  launched.num_local =
      local_size == nullptr
          ? launched.world_size
          : static_cast<int>(ParseInteger("the launcher's local size", local_size, {1, kMaxRanks}));
  const char* local_rank = FirstOf({"OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID"});
  launched.local_rank = local_rank == nullptr
                            ? launched.rank % launched.num_local
                            : static_cast<int>(ParseInteger("the launcher's local rank", local_rank,
                                                            {0, kMaxRanks - 1}));
  return launched;
}

MonitoredRank ForkMonitoredRank(const LaunchedRank& launched, double start_timeout_s) {
  const int descriptor = memfd_create("sluice-rank", MFD_CLOEXEC);
  if (descriptor < 0 || ftruncate(descriptor, sizeof(RankBoard)) != 0) {
    throw Error(fmt::format("no shared memory for a rank's status: {}", std::strerror(errno)));
  }
  void* memory =
      mmap(nullptr, sizeof(RankBoard), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (memory == MAP_FAILED) {
    throw Error(fmt::format("no shared memory for a rank's status: {}", std::strerror(errno)));
  }
  RankBoard* board = new (memory) RankBoard;
  const pid_t launcher = getppid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::fflush(nullptr);
  const pid_t monitor = getpid();
  const pid_t child = fork();
  if (child < 0) throw Error(fmt::format("cannot start a rank: {}", std::strerror(errno)));
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != monitor) _exit(kFaultExitCode);
    return {board, descriptor};
  }
  if (getppid() != launcher) kill(child, SIGKILL);
  // Held until exit: it says that this rank has joined.
  TakeRankName(launched.rank);
  for (int signal_number : {SIGTERM, SIGINT, SIGHUP}) std::signal(signal_number, NoteStop);
  Monitor(child, *board, launched, start_timeout_s);
}

const RankBoard* OpenBoard(int process_id, int descriptor) {
  const std::string path = fmt::format("/proc/{}/fd/{}", process_id, descriptor);
  const int opened = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (opened < 0) return nullptr;
  void* memory = mmap(nullptr, sizeof(RankBoard), PROT_READ, MAP_SHARED, opened, 0);
  close(opened);
  return memory == MAP_FAILED ? nullptr : static_cast<const RankBoard*>(memory);
}

}  // namespace sluice::internal
