// A fault of a run that has started: a rank that failed, left, hangs, or does not agree with
// another.
//
// Thrown by the waiting calls of a Communicator, on every rank that still can.  All ranks of one
// process get the same message, that of the first fault.  Caught where the ranks were started
// (RunThreadRanks, RunMpiRank), which ends the process with the code.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>

namespace sluice {

// A check that failed, a rank that is gone or disagrees.
inline constexpr int kFaultExitCode = 1;
// A wait that passed its deadline; what timeout(1) returns.
inline constexpr int kDeadlineExitCode = 124;

class CommError : public std::runtime_error {
 public:
  CommError(const std::string& message, int exit_code)
      : std::runtime_error(message), exit_code_(exit_code) {}

  int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

// Returns what `run` returns; if it throws CommError, prints the message to stderr and returns the
// exit code.
int RunReportingFaults(const std::function<int()>& run);

}  // namespace sluice
