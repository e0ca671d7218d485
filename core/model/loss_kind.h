// The losses (core/kernels/loss/loss.h), by name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

// kNone: the forward ends with the last layer, and there is no step. It is not a value of --loss.
enum class LossKind : uint8_t { kMean, kProjection, kNone };

// "mean", "projection", "none".
std::string_view Name(LossKind loss);
std::vector<std::string> LossNames();  // of --loss

// Throws Error with a suggestion on any other name.
LossKind ParseLoss(std::string_view name);

}  // namespace sluice
