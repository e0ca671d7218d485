#include "correctness/tolerance/number_format.h"

#include "core/base/check.h"

namespace sluice {

NumberFormat FormatOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat64:
      return kFloat64Format;
    case DType::kFloat32:
      return kFloat32Format;
    case DType::kBFloat16:
      return kBFloat16Format;
    case DType::kFloat16:
      return kFloat16Format;
  }
  SLUICE_CHECK(false);
  return {};
}

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
