// For tests: what a person can get wrong is refused before any work.
#pragma once

#include <string>
#include <vector>

namespace sluice {

// Expects arguments[0], a program as RunProgram takes it, to end with exit code 2 within five
// seconds, and to print one line alone: on stderr, "error: " and what holds each of `parts`.
void ExpectRefused(const std::vector<std::string>& arguments,
                   const std::vector<std::string>& parts);

}  // namespace sluice
