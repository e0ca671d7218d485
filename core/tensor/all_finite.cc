#include "core/tensor/all_finite.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sluice {
namespace {

// Elements are examined as unsigned integers: all bits of the exponent are set in what is not
// finite.  Without a branch for each, so that the compiler makes vectors of it.
template <typename Bits>
bool NoneHasExponent(const void* data, int64_t num_elements, Bits exponent) {
  constexpr int64_t kBlock = 4096;
  const auto* bytes = static_cast<const std::byte*>(data);
  for (int64_t begin = 0; begin < num_elements; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, num_elements);
    bool is_found = false;
    for (int64_t i = begin; i < end; ++i) {
      Bits bits;
      std::memcpy(&bits, bytes + i * static_cast<int64_t>(sizeof(Bits)), sizeof(Bits));
      is_found |= (bits & exponent) == exponent;
    }
    if (is_found) return false;
  }
  return true;
}

}  // namespace

bool AllFinite(const Tensor& host) {
  const int64_t n = host.num_elements();
  switch (host.dtype()) {
    case DType::kFloat64:
      return NoneHasExponent<uint64_t>(host.data(), n, 0x7ff0'0000'0000'0000);
    case DType::kFloat32:
      return NoneHasExponent<uint32_t>(host.data(), n, 0x7f80'0000);
    case DType::kBFloat16:
      return NoneHasExponent<uint16_t>(host.data(), n, 0x7f80);
    case DType::kFloat16:
      return NoneHasExponent<uint16_t>(host.data(), n, 0x7c00);
  }
  SLUICE_CHECK(false);
  return false;
}

}  // namespace sluice
