// Counts what a test's program takes from the C++ heap, to show that a step takes nothing.
//
// Linking this replaces operator new and operator delete of the whole program; sanitizers bring
// their own, so such a test runs without them.
#pragma once

#include <cstdint>

namespace sluice {

// Calls of operator new so far, of all threads.
int64_t NumHeapAllocations();

}  // namespace sluice
