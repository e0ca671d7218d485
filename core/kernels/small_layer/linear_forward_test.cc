#include "core/kernels/small_layer/linear_forward.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "core/kernels/cuda/kernel_test.h"

namespace sluice::cuda {
namespace {

struct SmallLinearCase {
  DType dtype;
  SmallLinearTile tile;
  int64_t num_tokens;
  int64_t num_inputs;
  int64_t num_outputs;
};

// Part and whole tiles of tokens; parts of K that are empty, uneven and full.
std::vector<SmallLinearCase> AllCases() {
  std::vector<SmallLinearCase> cases;
  for (const DType dtype : {DType::kBFloat16, DType::kFloat16}) {
    for (const SmallLinearTile tile :
         {SmallLinearTile::k16, SmallLinearTile::k32, SmallLinearTile::k64}) {
      for (const auto& [num_tokens, num_inputs, num_outputs] :
           {std::array<int64_t, 3>{128, 256, 768},
            {1, 32, 64},
            {37, 192, 192},
            {16, 1024, 256},
            {21, 416, 128}}) {
        cases.push_back({dtype, tile, num_tokens, num_inputs, num_outputs});
      }
    }
    cases.push_back({dtype, SmallLinearTile::k16, 19, 2048, 16});
    cases.push_back({dtype, SmallLinearTile::k16, 33, 512, 48});
  }
  return cases;
}

// Additions in a row of a sum over K, and of what is added to it; twice the unit, as tensor cores
// cut off what they add below the accumulator's last place.
double SumError(int64_t num_inputs) { return 2 * static_cast<double>(num_inputs + 12) * kUnit; }

enum class Extra { kNothing, kBias, kBiasRelu, kBiasResidual };

// The tensors of one linear layer.
struct Linear {
  DeviceTensor weight;
  DeviceTensor bias;
  DeviceTensor residual;
};

class SmallLinearTest : public KernelTest, public testing::WithParamInterface<SmallLinearCase> {
 protected:
  Linear MakeLinear() {
    const SmallLinearCase& c = GetParam();
    return {.weight = Random(c.dtype, {c.num_outputs, c.num_inputs}, "weight"),
            .bias = Random(c.dtype, {c.num_outputs}, "bias"),
            .residual = Random(c.dtype, {c.num_tokens, c.num_outputs}, "residual")};
  }
  static LinearForwardArgs ArgsOf(const Linear& linear, const Tensor& x, const Tensor& out,
                                  Extra extra) {
    LinearForwardArgs args = {.x = x, .weight = linear.weight.tensor, .out = out};
    if (extra != Extra::kNothing) args.bias = linear.bias.tensor;
    if (extra == Extra::kBiasRelu) args.activation = Activation::kRelu;
    if (extra == Extra::kBiasResidual) args.residual = linear.residual.tensor;
    return args;
  }

  // Returns the expected product of `x`, whose elements may be off by `x_error`.
  static Expected Reference(const Linear& linear, const std::vector<double>& x,
                            const std::vector<double>& x_error, Extra extra) {
    const auto [dtype, tile, num_tokens, num_inputs, num_outputs] = GetParam();
    Expected expected;
    for (int64_t m = 0; m < num_tokens; ++m) {
      for (int64_t n = 0; n < num_outputs; ++n) {
        double sum = 0;
        double magnitude = 0;
        double error = 0;
        for (int64_t k = 0; k < num_inputs; ++k) {
          const double w = linear.weight.values[n * num_inputs + k];
          sum += x[m * num_inputs + k] * w;
          magnitude += std::abs(x[m * num_inputs + k] * w);
          error += x_error[m * num_inputs + k] * std::abs(w);
        }
        const auto add = [&](double term) {
          sum += term;
          magnitude += std::abs(term);
        };
        if (extra != Extra::kNothing) add(linear.bias.values[n]);
        if (extra == Extra::kBiasResidual) add(linear.residual.values[m * num_outputs + n]);
        if (extra == Extra::kBiasRelu) sum = std::max(sum, 0.0);
        expected.reference.push_back(sum);
        error += SumError(num_inputs) * (magnitude + error);
        expected.bound.push_back(error +
                                 1.01 * (StorageError(dtype, sum) + StorageError(dtype, error)));
      }
    }
    return expected;
  }
};

TEST_P(SmallLinearTest, Forward) {
  const auto [dtype, tile, num_tokens, num_inputs, num_outputs] = GetParam();
  const DeviceTensor x = Random(dtype, {num_tokens, num_inputs}, "x");
  const Linear linear = MakeLinear();
  const std::vector<double> exact(x.values.size());
  for (const Extra extra :
       {Extra::kNothing, Extra::kBias, Extra::kBiasRelu, Extra::kBiasResidual}) {
    const DeviceTensor out = Unwritten(dtype, {num_tokens, num_outputs});
    const LinearForwardArgs args = ArgsOf(linear, x.tensor, out.tensor, extra);
    ASSERT_TRUE(CanRunSmallLinear(SizesOf(args), tile));
    SmallLinearForward(args, tile, stream().handle());
    const Expected expected = Reference(linear, x.values, exact, extra);
    ExpectWithin(out.tensor, expected.reference, expected.bound,
                 fmt::format("extra {}", static_cast<int>(extra)));
  }
}

// Additions in a row at most in the statistics of a token: within a lane, of its quad and parts.
constexpr double kStatisticsDepth = 64;

TEST_P(SmallLinearTest, ForwardBehindANorm) {
  const auto [dtype, tile, num_tokens, num_inputs, num_outputs] = GetParam();
  const DeviceTensor x = Random(dtype, {num_tokens, num_inputs}, "x");
  const DeviceTensor weight = Random(DType::kFloat32, {num_inputs}, "norm weight");
  const DeviceTensor bias = Random(DType::kFloat32, {num_inputs}, "norm bias");
  const DeviceTensor normalised = Unwritten(dtype, {num_tokens, num_inputs});
  const DeviceTensor mean = Unwritten(DType::kFloat32, {num_tokens});
  const DeviceTensor rstd = Unwritten(DType::kFloat32, {num_tokens});
  const DeviceTensor out = Unwritten(dtype, {num_tokens, num_outputs});
  const Linear linear = MakeLinear();
  const LinearForwardArgs args = ArgsOf(linear, normalised.tensor, out.tensor, Extra::kBiasRelu);
  if (!CanRunSmallNormLinear(SizesOf(args), tile)) {
    EXPECT_GT(num_inputs, 512);
    GTEST_SKIP() << "no kernel for so many inputs behind a norm";
  }
  SmallNormLinearForward({.x = x.tensor,
                          .weight = weight.tensor,
                          .bias = bias.tensor,
                          .out = normalised.tensor,
                          .mean = mean.tensor,
                          .rstd = rstd.tensor},
                         args, tile, stream().handle());

  Expected expected, means, rstds;
  const auto h = static_cast<double>(num_inputs);
  for (int64_t m = 0; m < num_tokens; ++m) {
    const double* row = x.values.data() + m * num_inputs;
    double average = 0, magnitude = 0, variance = 0;
    for (int64_t k = 0; k < num_inputs; ++k) {
      average += row[k] / h;
      magnitude += std::abs(row[k]) / h;
    }
    for (int64_t k = 0; k < num_inputs; ++k) variance += std::pow(row[k] - average, 2) / h;
    const double scale = 1 / std::sqrt(variance + kLayerNormEpsilon);
    const double mean_error = kStatisticsDepth * kUnit * magnitude;
    const double shift = mean_error * scale;
    const double scale_error =
        (kStatisticsDepth + 12) / 2 * kUnit + shift * shift + 2 * shift * kUnit * h + 4 * kUnit;
    means.reference.push_back(average);
    means.bound.push_back(mean_error + 2 * StorageError(DType::kFloat32, average));
    rstds.reference.push_back(scale);
    rstds.bound.push_back(scale_error * scale);
    for (int64_t k = 0; k < num_inputs; ++k) {
      const double n = (row[k] - average) * scale;
      const double scaled = n * weight.values[k];
      const double value = scaled + bias.values[k];
      expected.reference.push_back(value);
      expected.bound.push_back(std::abs(weight.values[k]) *
                                   (scale * (mean_error + 2 * kUnit * std::abs(row[k] - average)) +
                                    std::abs(n) * (scale_error + 2 * kUnit)) +
                               2 * kUnit * (std::abs(scaled) + std::abs(bias.values[k])) +
                               1.01 * StorageError(dtype, value));
    }
  }
  ExpectWithin(mean.tensor, means.reference, means.bound, "mean");
  ExpectWithin(rstd.tensor, rstds.reference, rstds.bound, "rstd");
  ExpectWithin(normalised.tensor, expected.reference, expected.bound, "normalised");
  // The product is of what the norm has written.
  const std::vector<double> exact(x.values.size());
  const Expected product = Reference(linear, Read(normalised.tensor), exact, Extra::kBiasRelu);
  ExpectWithin(out.tensor, product.reference, product.bound, "out");
}

TEST_P(SmallLinearTest, GivesTheSameBitsAgain) {
  const auto [dtype, tile, num_tokens, num_inputs, num_outputs] = GetParam();
  const DeviceTensor x = Random(dtype, {num_tokens, num_inputs}, "x");
  const Linear linear = MakeLinear();
  const DeviceTensor out = Unwritten(dtype, {num_tokens, num_outputs});
  const LinearForwardArgs args = ArgsOf(linear, x.tensor, out.tensor, Extra::kBiasResidual);
  SmallLinearForward(args, tile, stream().handle());
  const std::vector<double> first = Read(out.tensor);
  SmallLinearForward(args, tile, stream().handle());
  EXPECT_EQ(Read(out.tensor), first);
}

std::string NameOf(const testing::TestParamInfo<SmallLinearCase>& info) {
  const auto& [dtype, tile, num_tokens, num_inputs, num_outputs] = info.param;
  return fmt::format("{}_{}_{}_{}_{}", Name(dtype), 16 << static_cast<int>(tile), num_tokens,
                     num_inputs, num_outputs);
}

INSTANTIATE_TEST_SUITE_P(Shapes, SmallLinearTest, testing::ValuesIn(AllCases()), NameOf);

}  // namespace
}  // namespace sluice::cuda
