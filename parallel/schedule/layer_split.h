// How the layers are divided into stages.
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

// Divides `num_layers` layers into `num_stages` stages of consecutive layers. If they do not divide
// evenly, the first stages hold one more. Throws Error if there are fewer layers than stages.
std::vector<LayerRange> SplitLayers(int64_t num_layers, int64_t num_stages);

}  // namespace sluice
