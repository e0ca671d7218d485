// The main function of every program: strict flags in, one line per error out, and exit codes that
// mean the same everywhere.
//
//   int main(int argc, char** argv) {
//     return sluice::Main(argc, argv,
//                         {.purpose = "Times one pipeline scheme.",
//                          .example = "bazel run //bench:single -- --model=test --n_steps=10"},
//                         Run);
//   }
//
//   exit code 0   the work was done and holds
//             1   the work was done and does not hold (a parity miss), or an error of the machine
//                 (out of memory, a full disk)
//             2   what was asked for is not possible (sluice::Error): nothing was done
#pragma once

#include <functional>
#include <string>

namespace sluice {

struct ProgramInfo {
  // One sentence: what the program is for.
  std::string purpose;

  // A command line that works as it stands.
  std::string example;
};

// Parses the command line, calls `run` and returns its result as the exit code; one that is not 0
// ends the process here, before what libraries do at exit, which may never end.  An exception out
// of either is printed to stderr as one line, "error: ...", control characters in it escaped.
// --help prints the purpose, the example and the program's flags; --version prints how it was
// built; both return 0.  Output that cannot be written to stdout is an error too.
//
// Ranks of a launcher are all given the same flags and refuse the same.  The first prints it at
// once, and its launcher then ends the others, which wait for 10 s before they print it too.
//
// Before main begins, a CPU without the instructions that this build needs is refused.
int Main(int argc, char** argv, const ProgramInfo& program, const std::function<int()>& run);

}  // namespace sluice
