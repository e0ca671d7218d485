#include "correctness/tolerance/number_format.h"

namespace sluice {

RoundingSquares RoundingSquaresOf(const NumberFormat& format, std::span<const double> values) {
  RoundingSquares squares;
  for (const double x : values) {
    const double half_spacing = SpacingAt(format, x) / 2;
    squares.all += std::min(x * x, half_spacing * half_spacing);
    if (std::abs(x) < half_spacing) squares.lost += x * x;
  }
  return squares;
}

}  // namespace sluice
