#include "core/model/initial_values.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/base/rng.h"

namespace sluice {
namespace {

const ModelConfig kConfig{"odd", 2, 18, 5, 6};

std::vector<double> Whole(const ParameterKey& key, const ParameterSpec& parameter) {
  std::vector<double> values(static_cast<size_t>(parameter.shape.num_elements()));
  FillParameter(key, parameter, WholeBlock(parameter), std::span(values));
  return values;
}

TEST(InitialValues, AreTheDocumentedFunctionOfSeedNameAndElement) {
  for (const ParameterSpec& parameter : LayerParameters(kConfig)) {
    const RandomStream stream(9, "layers.1." + parameter.name);
    const std::vector<double> values = Whole({9, 1}, parameter);
    for (size_t i = 0; i < values.size(); ++i) {
      const double u = stream.Uniform(i);
      double expected = 0.1 * u;
      if (parameter.init == ParameterInit::kNormScale) expected += 1;
      if (parameter.init == ParameterInit::kLinear) {
        expected = u / std::sqrt(parameter.name.starts_with("fc2") ? 72.0 : 18.0);
      }
      // One rounding apart at most: this file may be compiled with fused multiply-adds.
      ASSERT_NEAR(values[i], expected, 0x1p-52) << parameter.name << " element " << i;
    }
  }
}

TEST(InitialValues, ShardsAreBlocksOfTheWhole) {
  for (const ParameterSpec& parameter : LayerParameters(kConfig)) {
    const std::vector<double> whole = Whole({4, 0}, parameter);
    const int64_t columns = WholeBlock(parameter).num_columns;
    for (int64_t index = 0; index < 3; ++index) {
      const Block block = ShardBlock(parameter, {index, 3});
      const bool split = parameter.shard_axis != ShardAxis::kReplicated;
      EXPECT_EQ(block.num_elements() * (split ? 3 : 1), parameter.shape.num_elements());
      std::vector<float> shard(static_cast<size_t>(block.num_elements()));
      FillParameter({4, 0}, parameter, block, std::span(shard));
      for (int64_t i = 0; i < block.num_elements(); ++i) {
        const int64_t row = block.row_begin + i / block.num_columns;
        const int64_t column = block.column_begin + i % block.num_columns;
        ASSERT_EQ(shard[i], static_cast<float>(whole[row * columns + column]))
            << parameter.name << " shard " << index << " element " << i;
      }
    }
  }
}

TEST(InitialValues, ShardTheAxisOfEachParameter) {
  const std::vector<ParameterSpec> parameters = LayerParameters(kConfig);
  EXPECT_EQ(ShardBlock(parameters[2], {1, 3}), (Block{18, 18, 0, 18}));   // attn.in_proj.weight
  EXPECT_EQ(ShardBlock(parameters[3], {2, 3}), (Block{36, 18, 0, 1}));    // attn.in_proj.bias
  EXPECT_EQ(ShardBlock(parameters[10], {1, 3}), (Block{0, 18, 24, 24}));  // fc2.weight
  EXPECT_EQ(ShardBlock(parameters[11], {1, 3}), (Block{0, 18, 0, 1}));    // fc2.bias
}

TEST(InitialValues, InputAndProjectionAreNormalStreamsReadableFromAnyElement) {
  std::vector<double> input(30), projection(30);
  FillInput(5, 0, std::span(input));
  FillProjection(5, 0, std::span(projection));
  EXPECT_NE(input, projection);
  std::vector<float> rest(10);
  FillInput(5, 20, std::span(rest));
  for (size_t i = 0; i < 30; ++i) {
    EXPECT_EQ(input[i], RandomStream(5, "input").Normal(i));
    EXPECT_EQ(projection[i], RandomStream(5, "projection").Normal(i));
    if (i >= 20) {
      EXPECT_EQ(rest[i - 20], static_cast<float>(input[i]));
    }
  }
}

TEST(InitialValuesDeathTest, RefuseShardsThatDoNotComeOutEqual) {
  const std::vector<ParameterSpec> parameters = LayerParameters(kConfig);
  EXPECT_DEATH(ShardBlock(parameters[2], {0, 4}), "num_rows % shard.count");
  std::vector<float> wrong(7);
  EXPECT_DEATH(FillParameter({1, 0}, parameters[0], WholeBlock(parameters[0]), std::span(wrong)),
               "7 vs. 18");
}

}  // namespace
}  // namespace sluice
