// Elementwise loops that the compiler vectorises, for float and double.
#pragma once

#include <cstdint>

namespace sluice::cpu {

// x = exp(x - shift) in place; returns the sum.  NaN stays NaN, -infinity becomes 0.
template <typename T>
T ExpShiftedInPlace(T* x, int64_t size, T shift);

// Returns the largest element; -infinity where size is 0.
template <typename T>
T Max(const T* x, int64_t size);

// Returns the sum of x * y.
template <typename T>
T Dot(const T* x, const T* y, int64_t size);

}  // namespace sluice::cpu
