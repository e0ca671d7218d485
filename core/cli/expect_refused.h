// For tests: bad input is an error before any work.
#pragma once

#include <string>
#include <vector>

namespace sluice {

// Runs the program arguments[0] as RunProgram does. Expects it to end with exit code 2 within five
// seconds and to print a single line: on stderr, "error: " and a text that contains each of
// `parts`.
void ExpectRefused(const std::vector<std::string>& arguments,
                   const std::vector<std::string>& parts);

}  // namespace sluice
