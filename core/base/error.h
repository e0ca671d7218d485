// What a person or another machine gave us and we cannot use: flags, files, world sizes, missing
// devices.
//
// Thrown at the edge, before any rank starts or anything is allocated, and caught in main, which
// prints the one message and exits with the code.  The message names the thing, its value and what
// is allowed:
//
//   throw Error("num_heads 25 is not divisible by tensor_parallel_size 2; valid: 1, 5, 25");
#pragma once

#include <stdexcept>
#include <string>

namespace sluice {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The process exit code for an Error.  1 is a check that ran and failed (a parity miss, a slower
// target).
inline constexpr int kBadInputExitCode = 2;

}  // namespace sluice
