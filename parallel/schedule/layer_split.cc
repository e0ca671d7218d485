#include "parallel/schedule/layer_split.h"

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"

namespace sluice {

std::vector<LayerRange> SplitLayers(int64_t num_layers, int64_t num_stages) {
  SLUICE_CHECK_GE(num_stages, 1);
  if (num_layers < num_stages) {
    throw Error(fmt::format(
        "num_layers {} is too few for {} stages (pipeline_parallel_size x num_chunks): each stage "
        "holds at least one layer; valid: up to {} stages",
        num_layers, num_stages, num_layers));
  }
  std::vector<LayerRange> stages;
  int64_t begin = 0;
  for (int64_t i = 0; i < num_stages; ++i) {
    const int64_t count = num_layers / num_stages + (i < num_layers % num_stages ? 1 : 0);
    stages.push_back({begin, count});
    begin += count;
  }
  return stages;
}

}  // namespace sluice
