// The bounds are tried on the plainest kernels there are, loops in float: errors must stay within
// them, and the perturbations of a faulty scheme must not.
#include "correctness/tolerance/kernel_expectations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/base/rng.h"

namespace sluice {
namespace {

using reference::Values;
using testing::IsEmpty;

const Arithmetic kFloat32 = ArithmeticOf(Precision::kFloat32);

// Numbers that float holds exactly.
Values Random(const char* name, int64_t size, double offset = 0) {
  const RandomStream stream(1, name);
  Values values(static_cast<size_t>(size));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(offset + stream.Normal(i));
  }
  return values;
}

std::vector<float> Floats(const Values& values) { return {values.begin(), values.end()}; }

void ExpectWithin(std::string_view name, const std::vector<float>& actual,
                  const Expectation& expectation) {
  const Bound bound = BoundOf(expectation);
  const Comparison comparison =
      CompareTensors<float, double>(name, actual, expectation.values, bound);
  EXPECT_TRUE(comparison.pass) << ToString(comparison);
  // A bound a thousand times the error would check little.
  EXPECT_GT(comparison.relative_l2, bound.relative_l2 / 1000) << ToString(comparison);
  EXPECT_THAT(UndetectedPerturbations(expectation.values, bound), IsEmpty()) << name;
}

// a [rows, inner] times b [columns, inner] transposed, in float.
std::vector<float> FloatProduct(const reference::MatMulShape& shape, const Values& a,
                                const Values& b) {
  std::vector<float> out;
  for (int64_t i = 0; i < shape.rows; ++i) {
    for (int64_t j = 0; j < shape.columns; ++j) {
      float sum = 0;
      for (int64_t k = 0; k < shape.inner; ++k) {
        sum +=
            static_cast<float>(a[i * shape.inner + k]) * static_cast<float>(b[j * shape.inner + k]);
      }
      out.push_back(sum);
    }
  }
  return out;
}

TEST(ExpectLinear, CoversFloatLoops) {
  for (const int64_t in_features : {1, 7, 100, 3001}) {
    const reference::LinearShape shape{11, in_features, 9};
    const Values x = Random("x", 11 * in_features), weight = Random("w", 9 * in_features);
    const Values bias = Random("b", 9), residual = Random("r", 99);
    std::vector<float> out = FloatProduct({11, in_features, 9}, x, weight);
    for (size_t i = 0; i < out.size(); ++i) out[i] += static_cast<float>(bias[i % 9]);
    const Expectation expected = ExpectLinear(shape, x, weight, bias, kFloat32);
    ExpectWithin("out", out, expected);

    std::vector<float> relu = out, sum = out;
    for (size_t i = 0; i < out.size(); ++i) {
      relu[i] = std::max(out[i], 0.0f);
      sum[i] += static_cast<float>(residual[i]);
    }
    ExpectWithin("relu", relu, ThenRelu(expected));
    ExpectWithin("sum", sum, ThenAdd(expected, residual, kFloat32));
  }
}

TEST(ExpectLinear, CoversSixteenBitStorageAndSeesSwaps) {
  const reference::LinearShape shape{16, 64, 32};
  const Values x = Random("x", 16 * 64), weight = Random("w", 32 * 64), bias = Random("b", 32);
  Arithmetic arithmetic = ArithmeticOf(Precision::kBFloat16);
  const Expectation expected = ExpectLinear(shape, x, weight, bias, arithmetic);
  Values rounded = expected.values;
  for (double& value : rounded) {
    const double spacing = std::ldexp(1.0, std::ilogb(value) - 7);
    value = std::nearbyint(value / spacing) * spacing;
  }
  const Bound bound = BoundOf(expected);
  const auto compare = [&] {
    return CompareTensors<double, double>("out", rounded, expected.values, bound);
  };
  EXPECT_TRUE(compare().pass) << ToString(compare());
  // 8 bits cannot see a thousandth, and must see all else.
  EXPECT_THAT(UndetectedPerturbations(expected.values, bound),
              testing::ElementsAre(Perturbation::kScaled));
}

TEST(ExpectLinearBackward, CoversFloatLoops) {
  const reference::LinearShape shape{37, 21, 15};
  const Values x = Random("x", 37 * 21), weight = Random("w", 15 * 21), dout = Random("d", 37 * 15);
  Values x_columns, dout_columns, weight_columns;
  for (int64_t i = 0; i < 21 * 37; ++i) x_columns.push_back(x[i % 37 * 21 + i / 37]);
  for (int64_t i = 0; i < 15 * 37; ++i) dout_columns.push_back(dout[i % 37 * 15 + i / 37]);
  for (int64_t i = 0; i < 21 * 15; ++i) weight_columns.push_back(weight[i % 15 * 21 + i / 15]);
  const LinearBackwardExpectation expected = ExpectLinearBackward(shape, x, weight, dout, kFloat32);
  ExpectWithin("dx", FloatProduct({37, 15, 21}, dout, weight_columns), expected.x);
  ExpectWithin("dweight", FloatProduct({15, 37, 21}, dout_columns, x_columns), expected.weight);
  ExpectWithin("dbias", FloatProduct({15, 37, 1}, dout_columns, Values(37, 1.0)), expected.bias);
}

class LayerNormBounds : public testing::TestWithParam<double> {};

// The offset makes the mean large beside the deviation, as in a residual stream that has drifted.
TEST_P(LayerNormBounds, CoverFloatLoops) {
  constexpr int64_t kTokens = 13, kHidden = 47;
  const Values x = Random("x", kTokens * kHidden, GetParam()),
               dout = Random("d", kTokens * kHidden);
  const Values weight = Random("w", kHidden, 1), bias = Random("b", kHidden);
  const std::vector<float> fx = Floats(x), fd = Floats(dout), fw = Floats(weight),
                           fb = Floats(bias);
  std::vector<float> out, means, rstds, dx, dweight(kHidden), dbias(kHidden);
  for (int64_t i = 0; i < kTokens; ++i) {
    const float* token = &fx[i * kHidden];
    float mean = 0, variance = 0, mean_g = 0, mean_gn = 0;
    for (int64_t h = 0; h < kHidden; ++h) mean += token[h];
    mean /= kHidden;
    for (int64_t h = 0; h < kHidden; ++h) variance += (token[h] - mean) * (token[h] - mean);
    const float rstd = 1 / std::sqrt(variance / kHidden + 1e-5f);
    means.push_back(mean);
    rstds.push_back(rstd);
    for (int64_t h = 0; h < kHidden; ++h) {
      const float n = (token[h] - mean) * rstd, d = fd[i * kHidden + h];
      out.push_back(n * fw[h] + fb[h]);
      dweight[h] += d * n;
      dbias[h] += d;
      mean_g += d * fw[h] / kHidden;
      mean_gn += d * fw[h] * n / kHidden;
    }
    for (int64_t h = 0; h < kHidden; ++h) {
      const float n = (token[h] - mean) * rstd;
      dx.push_back(rstd * (fd[i * kHidden + h] * fw[h] - mean_g - n * mean_gn));
    }
  }
  const LayerNormExpectation forward =
      ExpectLayerNorm({kTokens, kHidden}, x, weight, bias, kFloat32);
  ExpectWithin("out", out, forward.out);
  ExpectWithin("mean", means, forward.mean);
  ExpectWithin("rstd", rstds, forward.rstd);
  const LayerNormBackwardExpectation backward =
      ExpectLayerNormBackward({kTokens, kHidden}, x, weight, dout, kFloat32);
  ExpectWithin("dx", dx, backward.x);
  ExpectWithin("dweight", dweight, backward.weight);
  ExpectWithin("dbias", dbias, backward.bias);
}

INSTANTIATE_TEST_SUITE_P(Offsets, LayerNormBounds, testing::Values(0.0, 3.0));

// One head of one sequence, so that qkv is [positions, 3, D].
TEST(ExpectCausalAttention, CoversFloatLoops) {
  constexpr int64_t kPrefix = 5, kSlice = 23, kDim = 19, kTotal = kPrefix + kSlice;
  const reference::AttentionShape shape{kSlice, kPrefix, 1, 1, kDim};
  const Values qkv = Random("qkv", kTotal * 3 * kDim), dout = Random("dout", kSlice * kDim);
  const std::vector<float> f = Floats(qkv), fd = Floats(dout);
  const float scale = 1 / std::sqrt(static_cast<float>(kDim));
  const auto dot = [](const float* a, const float* b) {
    float sum = 0;
    for (int64_t d = 0; d < kDim; ++d) sum += a[d] * b[d];
    return sum;
  };
  std::vector<float> out, lse, dqkv(f.size());
  for (int64_t i = kPrefix; i < kTotal; ++i) {
    const float* q = &f[i * 3 * kDim];
    std::vector<float> p, row(kDim);
    float largest = -INFINITY, sum = 0;
    for (int64_t j = 0; j <= i; ++j) {
      p.push_back(scale * dot(q, &f[(j * 3 + 1) * kDim]));
      largest = std::max(largest, p.back());
    }
    for (float& value : p) sum += value = std::exp(value - largest);
    for (int64_t j = 0; j <= i; ++j) {
      p[j] /= sum;
      for (int64_t d = 0; d < kDim; ++d) row[d] += p[j] * f[(j * 3 + 2) * kDim + d];
    }
    lse.push_back(largest + std::log(sum));
    const float* row_dout = &fd[(i - kPrefix) * kDim];
    const float delta = dot(row_dout, row.data());
    for (int64_t j = 0; j <= i; ++j) {
      const float ds = scale * p[j] * (dot(row_dout, &f[(j * 3 + 2) * kDim]) - delta);
      for (int64_t d = 0; d < kDim; ++d) {
        dqkv[i * 3 * kDim + d] += ds * f[(j * 3 + 1) * kDim + d];
        dqkv[(j * 3 + 1) * kDim + d] += ds * q[d];
        dqkv[(j * 3 + 2) * kDim + d] += p[j] * row_dout[d];
      }
    }
    out.insert(out.end(), row.begin(), row.end());
  }
  const AttentionExpectation forward = ExpectCausalAttention(shape, qkv, kFloat32);
  ExpectWithin("out", out, forward.out);
  ExpectWithin("lse", lse, forward.log_sum_exp);
  ExpectWithin("dqkv", dqkv, ExpectCausalAttentionBackward(shape, qkv, dout, kFloat32));
}

TEST(ExpectLoss, CoversAFloatLoop) {
  const Values z = Random("z", 1001, 0.5), r = Random("r", 1001);
  float mean = 0, projection = 0;
  for (size_t i = 0; i < z.size(); ++i) {
    mean += static_cast<float>(z[i]) / 1001;
    projection += static_cast<float>(z[i]) * static_cast<float>(r[i]) / 1001;
  }
  const Expectation expected = ExpectLoss(z, {}, kFloat32);
  EXPECT_LE(std::abs(mean - expected.values[0]), BoundOf(expected).elementwise[0]);
  EXPECT_GT(1e-3 * expected.values[0], BoundOf(expected).elementwise[0]);
  const Expectation projected = ExpectLoss(z, r, kFloat32);
  EXPECT_LE(std::abs(projection - projected.values[0]), BoundOf(projected).elementwise[0]);
}

}  // namespace
}  // namespace sluice
