#include "core/tensor/convert.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace sluice {
namespace {

uint16_t ToBFloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

float FromBFloat16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

// The compilers' own half type, which converts with the right rounding on every CPU.
uint16_t ToFloat16(float value) { return std::bit_cast<uint16_t>(static_cast<_Float16>(value)); }

float FromFloat16(uint16_t bits) { return static_cast<float>(std::bit_cast<_Float16>(bits)); }

template <typename From>
void ConvertFromImpl(const Tensor& host, std::span<const From> values) {
  SLUICE_CHECK_EQ(host.num_elements(), static_cast<int64_t>(values.size()));
  const auto write = [&](auto* to, auto convert) {
    for (size_t i = 0; i < values.size(); ++i) to[i] = convert(values[i]);
  };
  switch (host.dtype()) {
    case DType::kFloat64:
      return write(static_cast<double*>(host.data()), [](From v) { return double{v}; });
    case DType::kFloat32:
      return write(static_cast<float*>(host.data()), [](From v) { return static_cast<float>(v); });
    case DType::kBFloat16:
      return write(static_cast<uint16_t*>(host.data()),
                   [](From v) { return ToBFloat16(static_cast<float>(v)); });
    case DType::kFloat16:
      return write(static_cast<uint16_t*>(host.data()),
                   [](From v) { return ToFloat16(static_cast<float>(v)); });
  }
}

}  // namespace

void ConvertFrom(const Tensor& host, std::span<const double> values) {
  ConvertFromImpl(host, values);
}

void ConvertFrom(const Tensor& host, std::span<const float> values) {
  ConvertFromImpl(host, values);
}

void ConvertTo(std::span<double> values, const Tensor& host) {
  SLUICE_CHECK_EQ(host.num_elements(), static_cast<int64_t>(values.size()));
  const auto read = [&](const auto* from, auto convert) {
    for (size_t i = 0; i < values.size(); ++i) values[i] = convert(from[i]);
  };
  switch (host.dtype()) {
    case DType::kFloat64:
      return read(static_cast<const double*>(host.data()), [](double v) { return v; });
    case DType::kFloat32:
      return read(static_cast<const float*>(host.data()), [](float v) { return double{v}; });
    case DType::kBFloat16:
      return read(static_cast<const uint16_t*>(host.data()), FromBFloat16);
    case DType::kFloat16:
      return read(static_cast<const uint16_t*>(host.data()), FromFloat16);
  }
}

}  // namespace sluice
