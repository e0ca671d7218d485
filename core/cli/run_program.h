// Runs a program as a user would, for tests: its exit code, what it printed, how long it took.
#pragma once

#include <string>
#include <vector>

namespace sluice {

struct ProgramResult {
  // As a shell says it: 128 + the signal's number where a signal ended the program.
  int exit_code;
  std::string stdout_text;
  std::string stderr_text;
  double elapsed_ms;
};

// Runs arguments[0], a path from the repository's root that the test names in its `data`, and waits
// for its end.  Standard input is empty.
ProgramResult RunProgram(const std::vector<std::string>& arguments);

}  // namespace sluice
