// The main function of every program: it parses strict flags, prints an error as one line, and
// returns exit codes with the same meaning everywhere.
//
//   int main(int argc, char** argv) {
//     return sluice::Main(argc, argv,
//                         {.purpose = "Times one pipeline scheme.",
//                          .example = "bazel run //bench:single -- --model=test --n_steps=10"},
//                         Run);
//   }
//
//   exit code 0   success
//             1   a check failed (a parity miss), or the machine did (out of memory, a full disk)
//             2   bad input or an impossible request (sluice::Error): nothing was done
#pragma once

#include <functional>
#include <string>

namespace sluice {

struct ProgramInfo {
  // One sentence on what the program does.
  std::string purpose;

  // A command line that works unchanged.
  std::string example;
};

// Parses the command line, calls `run` and returns its result as the exit code. A nonzero code ends
// the process here, without the exit handlers of libraries, which may hang. An exception from
// either is printed to stderr as one line, "error: ...", with control characters escaped. --help
// prints the purpose, the example and the program's flags; --version prints how it was built; both
// return 0. A failure to write to stdout is an error too.
//
// All ranks of a launcher parse the same flags and fail with the same error. The first rank prints
// it at once, and its launcher then ends the others, which would print it after 10 s.
//
// On a CPU without the instructions that this build needs, the program ends with an error before
// main begins.
int Main(int argc, char** argv, const ProgramInfo& program, const std::function<int()>& run);

}  // namespace sluice
