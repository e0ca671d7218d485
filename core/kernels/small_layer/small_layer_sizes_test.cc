#include "core/kernels/small_layer/small_layer_sizes.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

LinearSizes Layer(int64_t num_inputs, int64_t num_outputs, int64_t num_tokens = 16) {
  return {.num_tokens = num_tokens, .num_inputs = num_inputs, .num_outputs = num_outputs};
}

TEST(SmallLinear, HasKernelsForWhatRegistersHold) {
  constexpr SmallLinearTile kTile = SmallLinearTile::k16;
  EXPECT_TRUE(CanRunSmallLinear(Layer(2048, 16), kTile));
  EXPECT_FALSE(CanRunSmallLinear(Layer(2080, 16), kTile));
  EXPECT_FALSE(CanRunSmallLinear(Layer(48, 16), kTile));
  EXPECT_FALSE(CanRunSmallLinear(Layer(64, 24), kTile));
  EXPECT_FALSE(CanRunSmallLinear(Layer(64, 48), SmallLinearTile::k32));
  EXPECT_FALSE(CanRunSmallLinear(Layer(2048, 64), SmallLinearTile::k64));
  EXPECT_TRUE(CanRunSmallNormLinear(Layer(1024, 16), kTile));
  EXPECT_FALSE(CanRunSmallNormLinear(Layer(1056, 16), kTile));
}

TEST(SmallLinear, FillsTheMultiprocessors) {
  EXPECT_EQ(ChooseSmallLinearTile(Layer(256, 1024, 128)), SmallLinearTile::k64);
  EXPECT_EQ(ChooseSmallLinearTile(Layer(1024, 256, 128)), SmallLinearTile::k16);
  EXPECT_EQ(ChooseSmallLinearTile(Layer(256, 1024, 16)), SmallLinearTile::k16);
  EXPECT_EQ(ChooseSmallLinearTile(Layer(2048, 2048, 1024)), SmallLinearTile::k32);
}

TEST(SmallLinear, IsPreferredUpToAMeasuredNumberOfProducts) {
  EXPECT_TRUE(PrefersSmallLinear(Layer(256, 1024, 128)));
  EXPECT_FALSE(PrefersSmallLinear(Layer(256, 1024, 129)));
}

TEST(SmallLinearBackward, HasKernelsForMultiplesOf64) {
  EXPECT_TRUE(CanRunSmallLinearBackward(Layer(1024, 64)));
  EXPECT_FALSE(CanRunSmallLinearBackward(Layer(72, 64)));
  EXPECT_FALSE(CanRunSmallLinearBackward(Layer(64, 72)));
  EXPECT_FALSE(CanRunSmallLinearBackward(Layer(1088, 64)));
  EXPECT_FALSE(CanRunSmallLinearBackward(Layer(64, 1088)));
  EXPECT_TRUE(CanRunSmallNormLinearBackward(Layer(256, 1024)));
  EXPECT_FALSE(CanRunSmallNormLinearBackward(Layer(320, 64)));
}

TEST(SmallAttention, HasKernelsForTwoHeadDims) {
  EXPECT_TRUE(CanRunSmallAttention({.head_dim = 64}));
  EXPECT_TRUE(CanRunSmallAttention({.head_dim = 128}));
  EXPECT_FALSE(CanRunSmallAttention({.head_dim = 96}));
}

TEST(SmallAttention, IsPreferredForFewKeysAndQueries) {
  EXPECT_TRUE(PrefersSmallAttention(
      {.slice_len = 32, .prefix_len = 96, .batch_size = 2, .num_heads = 8, .head_dim = 64}));
  EXPECT_FALSE(PrefersSmallAttention(
      {.slice_len = 32, .prefix_len = 97, .batch_size = 2, .num_heads = 8, .head_dim = 64}));
  EXPECT_FALSE(PrefersSmallAttention(
      {.slice_len = 32, .prefix_len = 96, .batch_size = 2, .num_heads = 9, .head_dim = 64}));
}

TEST(SmallAttentionBackward, HoldsAHeadInSharedMemory) {
  constexpr int64_t kShared = 227 * 1024;  // of a block on an H100
  const auto can_run = [](int64_t slice_len, int64_t prefix_len, int64_t head_dim) {
    return CanRunSmallAttentionBackward(
        {.slice_len = slice_len, .prefix_len = prefix_len, .head_dim = head_dim}, kShared);
  };
  EXPECT_TRUE(can_run(256, 0, 64));
  EXPECT_FALSE(can_run(257, 0, 64));
  EXPECT_FALSE(can_run(256, 1, 64));
  EXPECT_FALSE(can_run(256, 0, 128));
  EXPECT_TRUE(can_run(128, 0, 128));
  EXPECT_FALSE(can_run(128, 0, 72));
  EXPECT_FALSE(can_run(16, 0, 144));
}

}  // namespace
}  // namespace sluice
