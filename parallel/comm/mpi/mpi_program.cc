// The ranks of the MPI tests: the conformance cases, the disagreements, and faults on request.
//
//   mpi_program conformance
//   mpi_program disagree CASE
//   mpi_program fault KIND RANK   (what a test then sees: its messages, exit code and processes)
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <vector>

#include "core/base/parse.h"
#include "parallel/comm/comm_error.h"
#include "parallel/comm/conformance/conformance.h"
#include "parallel/comm/fingerprint.h"
#include "parallel/comm/mpi/mpi_communicator.h"

namespace sluice {
namespace {

void RunConformance(Communicator& comm) {
  for (const ConformanceCase& test : ConformanceCases()) {
    comm.SetPosition({.label = test.name});
    test.run(comm);
    comm.Barrier();
    if (comm.rank() == 0) fmt::print("ok {}\n", test.name);
  }
}

void RunDisagreement(Communicator& comm, std::string_view name) {
  for (const DisagreementCase& test : DisagreementCases()) {
    if (test.name != name) continue;
    if (comm.rank() == 0) {
      for (std::string_view text : test.texts) {
        fmt::print("expect {}\n",
                   fmt::format(fmt::runtime(text), fmt::arg("last", comm.world_size() - 1)));
      }
      std::fflush(stdout);
    }
    test.run(comm);
    throw std::logic_error("nothing was noticed");
  }
  throw std::logic_error("no such case");
}

// What happens to a rank at step 3.
void Break(std::string_view kind) {
  if (kind == "kill") std::raise(SIGKILL);
  if (kind == "segv") std::raise(SIGSEGV);
  if (kind == "abort") std::abort();
  if (kind == "stop") std::raise(SIGSTOP);
  if (kind == "sleep") std::this_thread::sleep_for(std::chrono::seconds(20));
  if (kind == "error") throw std::runtime_error("the kernel broke");
  if (kind == "exit0") std::exit(0);
}

// Is stopped while it waits for a neighbour.
void StopInWait(Communicator& comm) {
  const int neighbour = comm.rank() > 0 ? comm.rank() - 1 : 1;
  comm.WaitUntil({CommOp::kRecv, neighbour, 4096}, [] {
    std::raise(SIGSTOP);
    return false;
  });
}

// As a rank whose device waits for all, but the faulty one, which stops or cannot unwind.
void BreakBesideDevices(Communicator& comm, std::string_view kind, bool is_faulty) {
  if (is_faulty && kind == "device_stop") std::raise(SIGSTOP);
  if (is_faulty && kind == "report") {
    comm.ReportFault(std::make_exception_ptr(std::runtime_error("the abort hangs")));
  }
  comm.WaitUntil({CommOp::kDrain}, [] { return false; });
}

// A pipeline's neighbours and an all-reduce, step after step, until one rank breaks.
void RunFaultySteps(Communicator& comm, std::string_view kind, int faulty_rank) {
  fmt::print("pid {}\n", getpid());
  std::fflush(stdout);
  if (kind == "fingerprint") {
    CheckFingerprint(
        comm, std::vector<FingerprintField>{{"model", "test"},
                                            {"n_slices", comm.rank() == faulty_rank ? "4" : "8"}});
  }
  std::vector<double> x(512, 1.0);
  for (int64_t step = 0; step < 20000; ++step) {
    comm.SetPosition({.step = step, .op_index = 1, .label = "Forward(stage=0)"});
    if (comm.rank() == faulty_rank && step == 3) {
      if (kind == "return") return;
      if (kind == "stop_in_wait") StopInWait(comm);
      Break(kind);
    }
    if (step == 3 && (kind == "device_stop" || kind == "report")) {
      BreakBesideDevices(comm, kind, comm.rank() == faulty_rank);
    }
    const Payload activation{x.data(), 512, DType::kFloat64};
    if (comm.rank() > 0) comm.Recv(activation, {.rank = comm.rank() - 1});
    if (comm.rank() + 1 < comm.world_size()) comm.Send(activation, {.rank = comm.rank() + 1});
    comm.SetPosition({.step = step, .op_index = 2, .label = "AllReduceGradients"});
    comm.AllReduce(activation, ReduceOp::kMax);
    if (kind == "run") std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

int Run(const std::vector<std::string_view>& arguments) {
  const std::string_view mode = arguments.at(0);
  if (mode == "conformance") return RunMpiRank({.timeout_s = 120}, RunConformance);
  if (mode == "disagree") {
    return RunMpiRank({.timeout_s = 20},
                      [&](Communicator& comm) { RunDisagreement(comm, arguments.at(1)); });
  }
  const int faulty_rank = static_cast<int>(ParseInteger("RANK", arguments.at(2), {-1, 1000}));
  const char* own_rank = std::getenv("OMPI_COMM_WORLD_RANK");
  if (arguments.at(1) == "never_starts" && own_rank != nullptr &&
      std::to_string(faulty_rank) == own_rank) {
    std::this_thread::sleep_for(std::chrono::seconds(20));
    return 0;
  }
  return RunMpiRank({.timeout_s = arguments.at(1) == "run" ? 60.0 : 1.5}, [&](Communicator& comm) {
    RunFaultySteps(comm, arguments.at(1), faulty_rank);
  });
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::Run(std::vector<std::string_view>(argv + 1, argv + argc));
}
