// Elements of any type from and to float64 or float32 on the host, rounding to nearest even.
#pragma once

#include <span>

#include "core/tensor/tensor.h"

namespace sluice {

// `host` is a tensor in host memory, of any element type; sizes are equal.
void ConvertFrom(const Tensor& host, std::span<const double> values);
void ConvertFrom(const Tensor& host, std::span<const float> values);
void ConvertTo(std::span<double> values, const Tensor& host);

}  // namespace sluice
