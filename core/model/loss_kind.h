// The two losses (core/kernels/loss/loss.h), by name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

enum class LossKind : uint8_t { kMean, kProjection };

// "mean", "projection".
std::string_view Name(LossKind loss);
std::vector<std::string> LossNames();

// Throws Error with a suggestion on any other name.
LossKind ParseLoss(std::string_view name);

}  // namespace sluice
