#include "parallel/schedule/layer_split.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace sluice {
namespace {

using Ranges = std::vector<LayerRange>;

TEST(SplitLayers, GivesTheFirstStagesOneMore) {
  EXPECT_EQ(SplitLayers(4, 2), (Ranges{{0, 2}, {2, 2}}));
  EXPECT_EQ(SplitLayers(8, 3), (Ranges{{0, 3}, {3, 3}, {6, 2}}));
  EXPECT_EQ(SplitLayers(5, 5), (Ranges{{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 1}}));
}

TEST(SplitLayers, RefusesFewerLayersThanStages) {
  try {
    SplitLayers(3, 4);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find("num_layers 3 is too few for 4 stages"), 0u);
  }
}

}  // namespace
}  // namespace sluice
