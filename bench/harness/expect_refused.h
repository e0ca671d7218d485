// For tests: what cannot be timed is refused before anything is.
#pragma once

#include <string>
#include <vector>

namespace sluice {

// Expects arguments[0], a program as RunProgram takes it, to end with exit code 2 and one line on
// stderr that holds `part`, and to print nothing else.
void ExpectRefused(const std::vector<std::string>& arguments, const std::string& part);

}  // namespace sluice
