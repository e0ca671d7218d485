// What needs no bound: attention of equal scores is a mean, and wrong shapes end the program.
// Rounding errors are held against derived bounds in correctness/kernels.
#include "core/kernels/causal_attention/causal_attention_cpu.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace sluice::cpu {
namespace {

constexpr int64_t kHeadDim = 4;

Tensor View(std::vector<double>& values, Shape shape) {
  SLUICE_CHECK_EQ(static_cast<int64_t>(values.size()), shape.num_elements());
  return Tensor(values.data(), DType::kFloat64, shape);
}

// One sequence, one head; q and k are 0, and v of position j is j + 1 in every dimension.
std::vector<double> QkvOfEqualScores(int64_t num_positions) {
  std::vector<double> qkv;
  for (int64_t j = 0; j < num_positions; ++j) {
    qkv.insert(qkv.end(), 2 * kHeadDim, 0.0);
    qkv.insert(qkv.end(), kHeadDim, static_cast<double>(j + 1));
  }
  return qkv;
}

// Query i then sees i + 1 values with the mean (i + 2) / 2, whatever the slice that it is in.
TEST(CausalAttentionCpu, EqualScoresGiveTheMeanOfWhatIsVisible) {
  constexpr int64_t kSeqLen = 600;
  std::vector<double> qkv = QkvOfEqualScores(kSeqLen);
  ThreadPool pool(2);
  std::vector<double> scratch(static_cast<size_t>(2 * CausalAttentionScratchSize(kHeadDim)));
  for (const int64_t prefix_len : {0, 127, 128, 256, 599}) {
    const int64_t slice_len = kSeqLen - prefix_len;
    std::vector<double> out(static_cast<size_t>(slice_len * kHeadDim));
    std::vector<double> lse(static_cast<size_t>(slice_len));
    CausalAttentionForward<double>(pool,
                                   {.qkv = View(qkv, {kSeqLen, 1, 1, 3, kHeadDim}),
                                    .prefix_len = prefix_len,
                                    .out = View(out, {slice_len, 1, 1, kHeadDim}),
                                    .lse = View(lse, {slice_len, 1, 1})},
                                   scratch.data());
    for (int64_t i = 0; i < slice_len; ++i) {
      const auto num_visible = static_cast<double>(prefix_len + i + 1);
      EXPECT_DOUBLE_EQ(lse[static_cast<size_t>(i)], std::log(num_visible));
      EXPECT_DOUBLE_EQ(out[static_cast<size_t>(i * kHeadDim + 3)], (num_visible + 1) / 2);
    }
  }
}

TEST(CausalAttentionCpuDeathTest, ChecksShapes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ThreadPool pool(1);
  std::vector<double> qkv = QkvOfEqualScores(5);
  std::vector<double> out(4 * kHeadDim), lse(4), dqkv(4 * 3 * kHeadDim);
  std::vector<double> scratch(static_cast<size_t>(CausalAttentionScratchSize(kHeadDim)));
  CausalAttentionForwardArgs forward = {.qkv = View(qkv, {5, 1, 1, 3, kHeadDim}),
                                        .prefix_len = 2,
                                        .out = View(out, {4, 1, 1, kHeadDim}),
                                        .lse = View(lse, {4, 1, 1})};
  EXPECT_DEATH(CausalAttentionForward<double>(pool, forward, scratch.data()), "prefix_len");
  // A prefix has gradients, and they need a place.
  const CausalAttentionBackwardArgs backward = {.qkv = forward.qkv,
                                                .prefix_len = 1,
                                                .out = forward.out,
                                                .lse = forward.lse,
                                                .dout = forward.out,
                                                .dqkv = View(dqkv, {4, 1, 1, 3, kHeadDim})};
  EXPECT_DEATH(CausalAttentionBackward<double>(pool, backward, scratch.data()), "prefix_len == 0");
}

}  // namespace
}  // namespace sluice::cpu
