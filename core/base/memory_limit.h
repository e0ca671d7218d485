// Takes memory from a test's own process, to see what a program does without it.
//
// Sanitizers need that memory: such a test runs without them.
#pragma once

#include <cstdint>

namespace sluice {

// From now on this process gets `more_bytes` of address space at the most; a thread takes 8 MiB.
void LimitMemory(int64_t more_bytes);

}  // namespace sluice
