#include "core/model/small_layer_choice.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

constexpr SmallLayerDevice kH100 = {.dtype = DType::kBFloat16,
                                    .compute_capability = 90,
                                    .max_shared_bytes = 227 * 1024,
                                    .has_small_attention = true};

// Model `test`, whole or in slices of these lengths.
UnitSizes TestModel(const std::vector<int64_t>& slice_lens, int64_t batch_size = 1) {
  UnitSizes sizes = {.slices = {},
                     .batch_size = batch_size,
                     .hidden_size = 256,
                     .num_heads = 4,
                     .head_dim = 64,
                     .ffn_hidden_size = 1024};
  int64_t prefix_len = 0;
  for (const int64_t len : slice_lens) {
    sizes.slices.push_back({.len = len, .prefix_len = prefix_len});
    prefix_len += len;
  }
  return sizes;
}

// With `hidden_size`, heads of 64 and four times as many features between fc1 and fc2.
UnitSizes WithHiddenSize(UnitSizes sizes, int64_t hidden_size) {
  sizes.hidden_size = hidden_size;
  sizes.num_heads = hidden_size / 64;
  sizes.ffn_hidden_size = 4 * hidden_size;
  return sizes;
}

std::string NamesFor(const UnitSizes& sizes, const SmallLayerDevice& device = kH100) {
  return Name(ChooseSmallLayer(sizes, device));
}

constexpr const char* kAll =
    "norm_in_proj+attention+out_proj+norm_fc1+fc2+fc2_dx+norm_fc1_dx+out_proj_dx+attention_dx+"
    "norm_in_proj_dx";
constexpr const char* kForward = "norm_in_proj+attention+out_proj+norm_fc1+fc2";
constexpr const char* kBackward = "fc2_dx+norm_fc1_dx+out_proj_dx+attention_dx+norm_in_proj_dx";

TEST(ChooseSmallLayer, TakesAllOfModelTest) { EXPECT_EQ(NamesFor(TestModel({128})), kAll); }

TEST(ChooseSmallLayer, DecidesForwardAndBackwardApart) {
  // More tokens than the forward is preferred for, and then than the backward.
  EXPECT_EQ(NamesFor(TestModel({128}, 2)), kBackward);
  EXPECT_EQ(NamesFor(TestModel({128}, 4)), kBackward);
  EXPECT_EQ(NamesFor(TestModel({128}, 5)), "none");
}

TEST(ChooseSmallLayer, TakesAttentionOnlyWhereAllSlicesCan) {
  // The first slice alone has no prefix: its backward is that of the others.
  EXPECT_EQ(NamesFor(TestModel({32, 32, 32, 32})),
            "norm_in_proj+attention+out_proj+norm_fc1+fc2+fc2_dx+norm_fc1_dx+out_proj_dx+"
            "norm_in_proj_dx");
  // The last slice sees more keys than attention is preferred for.
  EXPECT_EQ(NamesFor(TestModel({64, 64, 1})),
            "norm_in_proj+out_proj+norm_fc1+fc2+fc2_dx+norm_fc1_dx+out_proj_dx+norm_in_proj_dx");
}

TEST(ChooseSmallLayer, OneLongSliceDecidesForAll) {
  EXPECT_EQ(NamesFor(TestModel({8, 513})), "none");
  EXPECT_EQ(NamesFor(TestModel({513, 8})), "none");
}

TEST(ChooseSmallLayer, TakesAllLinearLayersOrNone) {
  // in_proj and out_proj would be small on their own, fc1 and fc2 would not.
  EXPECT_EQ(NamesFor(WithHiddenSize(TestModel({16}), 768)), "none");
  // Forward: out_proj alone; backward: out_proj alone.
  EXPECT_EQ(NamesFor(WithHiddenSize(TestModel({128}), 512)), "none");
  // No backward of a layer norm of so many features.
  EXPECT_EQ(NamesFor(WithHiddenSize(TestModel({32}), 320)), kForward);
}

TEST(ChooseSmallLayer, HasNoAttentionForSomeHeadDims) {
  UnitSizes sizes = TestModel({64});
  sizes.num_heads = 8;
  sizes.head_dim = 32;
  EXPECT_EQ(NamesFor(sizes),
            "norm_in_proj+out_proj+norm_fc1+fc2+fc2_dx+norm_fc1_dx+out_proj_dx+attention_dx+"
            "norm_in_proj_dx");
}

TEST(ChooseSmallLayer, DependsOnTheDevice) {
  SmallLayerDevice device = kH100;
  device.compute_capability = 80;
  EXPECT_EQ(NamesFor(TestModel({128}), device), kForward);
  device.compute_capability = 100;
  EXPECT_EQ(NamesFor(TestModel({128}), device), "none");
  device = kH100;
  device.dtype = DType::kFloat32;
  EXPECT_EQ(NamesFor(TestModel({128}), device), "none");
  device = kH100;
  device.max_shared_bytes = 64 * 1024;
  EXPECT_EQ(NamesFor(TestModel({128}), device),
            "norm_in_proj+attention+out_proj+norm_fc1+fc2+fc2_dx+norm_fc1_dx+out_proj_dx+"
            "norm_in_proj_dx");
}

TEST(ChooseSmallLayer, LeavesARequestedAttentionAlone) {
  SmallLayerDevice device = kH100;
  device.has_small_attention = false;
  EXPECT_EQ(NamesFor(TestModel({128}), device),
            "norm_in_proj+out_proj+norm_fc1+fc2+fc2_dx+norm_fc1_dx+out_proj_dx+norm_in_proj_dx");
}

TEST(ChooseSmallLayer, NeedsWholeLayersOnARank) {
  UnitSizes sizes = TestModel({128});
  sizes.tensor_parallel_size = 2;
  EXPECT_EQ(NamesFor(sizes), "none");
}

}  // namespace
}  // namespace sluice
