// Sizes from people are multiplied here, so that a product over 2^63 is an Error and not a small
// number.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace sluice {

// Returns the product of non-negative factors, or throws Error naming `what` when it does not fit
// int64_t.
int64_t CheckedProduct(std::string_view what, std::initializer_list<int64_t> factors);

// Returns a + b of non-negative terms, or throws Error naming `what` when it does not fit int64_t.
int64_t CheckedSum(std::string_view what, int64_t a, int64_t b);

// a / b rounded up, and the least multiple of b that is at least a. a >= 0 and b > 0.
inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t RoundUp(int64_t a, int64_t b) { return CeilDiv(a, b) * b; }

// Returns "412.3 GiB", "1.5 MiB", "12 B": four digits at most, binary units.
std::string FormatBytes(int64_t bytes);

}  // namespace sluice
