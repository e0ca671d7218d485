// Number formats by their two numbers: rounding to them, and how large the error of that is.
//
// A number of exponent e is stored to spacing 2^(e - significand_bits + 1); below 2^min_exponent
// the spacing stays what it is there (subnormals), so that numbers under half of it become 0.
// Overflow is not modelled.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <span>

#include "core/tensor/dtype.h"

namespace sluice {

struct NumberFormat {
  int significand_bits = 0;  // with the leading one
  int min_exponent = 0;      // of the smallest normal number
};

inline constexpr NumberFormat kFloat64Format = {53, -1022};
inline constexpr NumberFormat kFloat32Format = {24, -126};
inline constexpr NumberFormat kTf32Format = {11, -126};
inline constexpr NumberFormat kBFloat16Format = {8, -126};
inline constexpr NumberFormat kFloat16Format = {11, -14};

NumberFormat FormatOf(DType dtype);

// The distance from |x| to the next larger number of the format.
inline double SpacingAt(const NumberFormat& format, double x) {
  const auto biased = static_cast<int>(std::bit_cast<uint64_t>(x) >> 52 & 0x7ff);
  const int exponent = biased - 1023 < format.min_exponent ? format.min_exponent : biased - 1023;
  const int spacing_exponent = exponent - format.significand_bits + 1;
  // A power of two whose own exponent is normal.
  if (spacing_exponent < -1022) return 0x1p-1022;
  return std::bit_cast<double>(static_cast<uint64_t>(spacing_exponent + 1023) << 52);
}

// To nearest, ties to even.
inline double RoundToNearest(const NumberFormat& format, double x) {
  const double spacing = SpacingAt(format, x);
  return std::nearbyint(x / spacing) * spacing;
}

// Towards zero.
inline double Truncate(const NumberFormat& format, double x) {
  const double spacing = SpacingAt(format, x);
  return std::trunc(x / spacing) * spacing;
}

// The most that the error of rounding x to nearest can be, squared: half a spacing, or all of x
// where that is less and x becomes 0.
inline double RoundingSquare(const NumberFormat& format, double x) {
  const double half_spacing = SpacingAt(format, x) / 2;
  return std::min(x * x, half_spacing * half_spacing);
}

// Sums over tensors: of RoundingSquare, and of the squares of those numbers that become 0.
struct RoundingSquares {
  double all = 0;
  double lost = 0;
};
RoundingSquares RoundingSquaresOf(const NumberFormat& format, std::span<const double> values);

}  // namespace sluice
