#include "bench/harness/flops.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace sluice {
namespace {

// Counted by hand for one token of the smallest model: hidden size 2, so in_proj 6 x 2, out_proj
// 2 x 2, fc1 8 x 2 and fc2 2 x 8 multiply-adds; one query sees one key in two dimensions.
TEST(Flops, OneTokenByHand) {
  const ModelConfig config = {"", /*num_layers=*/1, /*hidden_size=*/2, /*seq_len=*/1, 1};
  const int64_t linear = 2 * (12 + 4 + 16 + 16);
  EXPECT_EQ(ForwardFlops(config, 1, {0, 1}), linear + 2 * 2 * 2);
  EXPECT_EQ(BackwardInputFlops(config, 1, {0, 1}), linear + 4 * 2 * 2);
  EXPECT_EQ(BackwardWeightFlops(config, 1, {0, 1}), linear);
  EXPECT_EQ(BackwardFlops(config, 1, {0, 1}), 2 * linear + 4 * 2 * 2);
}

TEST(Flops, VisiblePairsAreThoseOfALoop) {
  for (const Slice& slice : {Slice{0, 1}, Slice{0, 7}, Slice{5, 1}, Slice{3, 4}}) {
    int64_t num_pairs = 0;
    for (int64_t query = slice.begin; query < slice.begin + slice.len; ++query) {
      for (int64_t key = 0; key <= query; ++key) ++num_pairs;
    }
    EXPECT_EQ(NumVisiblePairs(slice), num_pairs) << slice.begin << " + " << slice.len;
  }
}

TEST(Flops, ClosedFormOfTheWholeSequence) {
  const ModelConfig config = FindModel("gpt2-1hm");
  const int64_t t = config.seq_len, h = config.hidden_size, batch_size = 3;
  const int64_t linear = 24 * t * batch_size * h * h;
  const int64_t pairs = t * (t + 1) / 2;
  EXPECT_EQ(ForwardFlops(config, batch_size, {0, t}),
            config.num_layers * (linear + 4 * batch_size * h * pairs));
  EXPECT_EQ(BackwardFlops(config, batch_size, {0, t}),
            config.num_layers * (2 * linear + 8 * batch_size * h * pairs));
}

TEST(Flops, BackwardIsTwiceTheForward) {
  for (const Slice& slice : {Slice{0, 1}, Slice{0, 100}, Slice{28, 3}}) {
    const ModelConfig config = FindModel("test");
    EXPECT_EQ(BackwardFlops(config, 3, slice), 2 * ForwardFlops(config, 3, slice));
  }
}

// Counted one by one: two products of the forward and four of the backward over all visible pairs,
// but of these the gradients of keys and values only where the key is the sequence's own.
TEST(Flops, AStepAsksForNoGradientsOfItsPrefix) {
  ModelConfig config = FindModel("test");
  config.num_layers = 2;
  config.seq_len = 5;
  for (const int64_t prefix_len : {0, 3}) {
    int64_t num_products = 0;
    for (int64_t query = prefix_len; query < prefix_len + config.seq_len; ++query) {
      for (int64_t key = 0; key <= query; ++key) num_products += key < prefix_len ? 4 : 6;
    }
    const int64_t linear = 3 * 24 * 5 * 7 * config.hidden_size * config.hidden_size;
    EXPECT_EQ(StepFlops(config, 7, prefix_len),
              2 * (linear + 2 * 7 * config.hidden_size * num_products));
  }
}

TEST(Flops, SlicesAddUpToTheSequence) {
  const ModelConfig config = FindModel("test");
  for (const auto count : {ForwardFlops, BackwardInputFlops, BackwardWeightFlops, BackwardFlops}) {
    int64_t sum = 0;
    for (const Slice& slice : UniformSlices(config.seq_len, 7)) sum += count(config, 2, slice);
    EXPECT_EQ(sum, count(config, 2, {0, config.seq_len}));
  }
}

TEST(Flops, LayersAndSequencesAddUp) {
  ModelConfig config = FindModel("test");
  const int64_t whole = BackwardFlops(config, 6, {32, 64});
  EXPECT_EQ(6 * BackwardFlops(config, 1, {32, 64}), whole);
  config.num_layers /= 3;
  EXPECT_EQ(3 * BackwardFlops(config, 6, {32, 64}), whole);
}

TEST(Flops, OverflowIsAnError) {
  const ModelConfig config = FindModel("gpt3-175b");
  EXPECT_GT(BackwardFlops(config, 2, {0, config.seq_len}), 0);
  EXPECT_THROW(ForwardFlops(config, int64_t{1} << 40, {0, config.seq_len}), Error);
}

}  // namespace
}  // namespace sluice
