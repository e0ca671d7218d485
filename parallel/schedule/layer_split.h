// Which layers each stage holds.
#pragma once

#include <cstdint>
#include <vector>

namespace sluice {

// Layers begin .. begin + num_layers - 1 of the model.
struct LayerRange {
  int64_t begin = 0;
  int64_t num_layers = 0;

  bool operator==(const LayerRange&) const = default;
};

// Deals `num_layers` consecutive layers to `num_stages` stages; where they do not divide, the first
// stages hold one more. Throws Error when there are fewer layers than stages.
std::vector<LayerRange> SplitLayers(int64_t num_layers, int64_t num_stages);

}  // namespace sluice
