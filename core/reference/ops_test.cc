#include "core/reference/ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/base/rng.h"

namespace sluice::reference {
namespace {

Values Random(const char* name, int64_t size) {
  const RandomStream stream(1, name);
  Values values(static_cast<size_t>(size));
  for (size_t i = 0; i < values.size(); ++i) values[i] = stream.Normal(i);
  return values;
}

TEST(MatMul, OfKnownNumbers) {
  EXPECT_EQ(MatMul({2, 3, 2}, {1, 2, 3, 4, 5, 6}, {7, 8, 9, 10, 11, 12}),
            (Values{58, 64, 139, 154}));
}

TEST(MatMul, SumsOverMoreThanOneBlockInOrder) {
  const Values a = Random("a", 3 * 71), b = Random("b", 71 * 5);
  const Values product = MatMul({3, 71, 5}, a, b);
  for (int64_t i = 0; i < 3; ++i) {
    for (int64_t j = 0; j < 5; ++j) {
      double sum = 0, magnitude = 0;
      for (int64_t k = 0; k < 71; ++k) {
        sum += a[i * 71 + k] * b[k * 5 + j];
        magnitude += std::abs(a[i * 71 + k] * b[k * 5 + j]);
      }
      // Twice the worst case of 71 additions: fused and unfused steps round differently.
      EXPECT_NEAR(product[i * 5 + j], sum, 2 * 71 * 0x1p-53 * magnitude);
    }
  }
}

TEST(Linear, OfKnownNumbersAndItsGradients) {
  const LinearShape shape{2, 3, 2};
  const Values x{1, 2, 3, 4, 5, 6}, weight{1, 0, -1, 2, 1, 0}, bias{10, 20};
  EXPECT_EQ(Linear(shape, x, weight, bias), (Values{8, 24, 8, 33}));
  const LinearGradients gradients = LinearBackward(shape, x, weight, {1, 2, 3, 4});
  EXPECT_EQ(gradients.x, (Values{5, 2, -1, 11, 4, -3}));
  EXPECT_EQ(gradients.weight, (Values{13, 17, 21, 18, 24, 30}));
  EXPECT_EQ(gradients.bias, (Values{4, 6}));
}

TEST(Relu, PassesPositiveValuesAndNan) {
  const Values out = Relu({-1, 0, 2, std::numeric_limits<double>::quiet_NaN()});
  EXPECT_EQ(out[0], 0);
  EXPECT_EQ(out[2], 2);
  EXPECT_TRUE(std::isnan(out[3]));
  EXPECT_EQ(ReluBackward({0, 0, 2}, {5, 6, 7}), (Values{0, 0, 7}));
}

TEST(LayerNorm, NormalisesEachToken) {
  const LayerNormOutput result = LayerNorm({1, 4}, {1, 2, 3, 6}, {1, 1, 2, 1}, {0, 0, 0, 5});
  const double rstd = 1 / std::sqrt(3.5 + 1e-5);
  EXPECT_EQ(result.mean[0], 3);
  EXPECT_DOUBLE_EQ(result.rstd[0], rstd);
  EXPECT_DOUBLE_EQ(result.out[0], -2 * rstd);
  EXPECT_EQ(result.out[2], 0);
  EXPECT_DOUBLE_EQ(result.out[3], 3 * rstd + 5);
}

TEST(CausalAttention, OfOnePositionIsItsValue) {
  const Values qkv = Random("qkv", 2 * 3 * 3 * 4);
  const AttentionOutput result = CausalAttention({1, 0, 2, 3, 4}, qkv);
  for (int64_t i = 0; i < 2 * 3; ++i) {
    double score = 0;
    for (int64_t d = 0; d < 4; ++d) {
      EXPECT_EQ(result.out[i * 4 + d], qkv[i * 12 + 8 + d]);
      score += qkv[i * 12 + d] * qkv[i * 12 + 4 + d] / 2;
    }
    EXPECT_NEAR(result.log_sum_exp[i], score, 1e-14);
  }
}

TEST(CausalAttention, SeesNoLaterPosition) {
  const AttentionShape shape{5, 0, 2, 3, 4};
  Values qkv = Random("qkv", 5 * 2 * 3 * 3 * 4);
  const Values before = CausalAttention(shape, qkv).out;
  for (size_t i = 3 * 2 * 3 * 12; i < qkv.size(); ++i) qkv[i] += 1;
  const Values after = CausalAttention(shape, qkv).out;
  for (size_t i = 0; i < before.size(); ++i) {
    if (i < 3 * 2 * 3 * 4) {
      EXPECT_EQ(before[i], after[i]);
    } else {
      EXPECT_NE(before[i], after[i]);
    }
  }
}

TEST(CausalAttention, OfASliceWithPrefixIsTheEndOfTheWhole) {
  const Values qkv = Random("qkv", 7 * 2 * 3 * 3 * 5);
  const Values whole = CausalAttention({7, 0, 2, 3, 5}, qkv).out;
  const Values slice = CausalAttention({3, 4, 2, 3, 5}, qkv).out;
  EXPECT_EQ(slice, Values(whole.end() - 3 * 2 * 3 * 5, whole.end()));
}

TEST(CausalAttentionBackward, OfSlicesAddsUpToTheWhole) {
  const Values qkv = Random("qkv", 7 * 2 * 3 * 3 * 5);
  const Values dout = Random("dout", 7 * 2 * 3 * 5);
  const Values whole = CausalAttentionBackward({7, 0, 2, 3, 5}, qkv, dout);
  const int64_t qkv_row = 2 * 3 * 3 * 5, out_row = 2 * 3 * 5;
  Values sum =
      CausalAttentionBackward({3, 4, 2, 3, 5}, qkv, Values(dout.begin() + 4 * out_row, dout.end()));
  const Values first =
      CausalAttentionBackward({4, 0, 2, 3, 5}, Values(qkv.begin(), qkv.begin() + 4 * qkv_row),
                              Values(dout.begin(), dout.begin() + 4 * out_row));
  for (size_t i = 0; i < first.size(); ++i) sum[i] += first[i];
  for (size_t i = 0; i < whole.size(); ++i) EXPECT_NEAR(sum[i], whole[i], 1e-14) << i;
}

TEST(Loss, IsAMeanAndTheGradientItsWeights) {
  EXPECT_EQ(Loss({1, 2, 3, 6}, {}), 3);
  EXPECT_EQ(Loss({1, 2, 3, 6}, {1, -1, 0, 2}), 2.75);
  EXPECT_EQ(LossBackward(4, {}), (Values{0.25, 0.25, 0.25, 0.25}));
  EXPECT_EQ(LossBackward(4, {1, -1, 0, 2}), (Values{0.25, -0.25, 0, 0.5}));
}

TEST(OpsDeathTest, RefuseTensorsOfTheWrongSize) {
  EXPECT_DEATH(MatMul({2, 2, 2}, {1, 2, 3}, {1, 2, 3, 4}), "3 vs. 4");
  EXPECT_DEATH(CausalAttention({2, 1, 1, 1, 1}, Values(8)), "8 vs. 9");
}

}  // namespace
}  // namespace sluice::reference
