#include "core/base/checked_math.h"

#include <fmt/format.h>

#include <array>

#include "core/base/check.h"
#include "core/base/error.h"

namespace sluice {

int64_t CheckedProduct(std::string_view what, std::initializer_list<int64_t> factors) {
  int64_t product = 1;
  bool overflow = false;
  for (const int64_t factor : factors) {
    SLUICE_CHECK_GE(factor, 0);
    overflow |= __builtin_mul_overflow(product, factor, &product);
  }
  if (overflow)
    throw Error(
        fmt::format("{} is too large: {} overflows 64 bits", what, fmt::join(factors, " x ")));
  return product;
}

int64_t CheckedSum(std::string_view what, int64_t a, int64_t b) {
  SLUICE_CHECK_GE(a, 0);
  SLUICE_CHECK_GE(b, 0);
  int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) {
    throw Error(fmt::format("{} is too large: {} + {} overflows 64 bits", what, a, b));
  }
  return sum;
}

std::string FormatBytes(int64_t bytes) {
  constexpr std::array<const char*, 7> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

}  // namespace sluice
