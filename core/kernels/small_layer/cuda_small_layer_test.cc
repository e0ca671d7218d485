#include "core/kernels/small_layer/cuda_small_layer.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "core/kernels/cuda/kernel_test.h"
#include "core/kernels/cuda/launch.h"
#include "core/kernels/small_layer/small_layer_sizes.h"

namespace sluice::cuda {
namespace {

struct SmallCase {
  DType dtype;
  int64_t num_tokens;
  int64_t out_features;
  int64_t in_features;
};

// Whole and part tiles of 16 tokens and of 128, warps with and without a part of the inner
// dimension, and the sizes of model `test`.
std::vector<SmallCase> AllCases() {
  std::vector<SmallCase> cases;
  for (const DType dtype : {DType::kBFloat16, DType::kFloat16}) {
    for (const auto& [num_tokens, out_features, in_features] :
         {std::array<int64_t, 3>{128, 1024, 256},
          {128, 768, 256},
          {128, 256, 1024},
          {1, 64, 64},
          {37, 192, 128},
          {301, 320, 192},
          {17, 1024, 64}}) {
      cases.push_back({dtype, num_tokens, out_features, in_features});
    }
  }
  return cases;
}

// Tensor cores cut off what they add below the accumulator's last place: twice the unit a term.
double SumError(int64_t num_terms) { return 2 * static_cast<double>(num_terms + 2) * kUnit; }

struct NormInputs {
  DeviceTensor weight, mean, rstd, residual_gradient;
};

// The float64 product, and what float32 accumulation makes of it.
struct Product {
  std::vector<double> value;
  std::vector<double> error;
};

class SmallLayerBackwardTest : public KernelTest, public testing::WithParamInterface<SmallCase> {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    if (IsSkipped()) return;
    const auto [dtype, num_tokens, out_features, in_features] = GetParam();
    small_ =
        std::make_unique<CudaSmallLayer>(device(), stream(), CudaSmallLayerOptions{.dtype = dtype});
    dout_ = Random(dtype, {num_tokens, out_features}, "dout");
    weight_ = Random(dtype, {out_features, in_features}, "weight");
    x_ = Random(dtype, {num_tokens, in_features}, "x");
    scratch_ = Unwritten(dtype, {num_tokens, in_features});
    ASSERT_TRUE(CanRunSmallLinearBackward({num_tokens, in_features, out_features}));
    EXPECT_EQ(small_->device().compute_capability, ComputeCapability());
    if (ComputeCapability() != 90) {
      small_.reset();
      GTEST_SKIP() << "the kernels are for GPUs of compute capability 9.0";
    }
  }
  void TearDown() override { small_.reset(); }

  // dout weight
  Product InputProduct() const {
    const auto [dtype, num_tokens, out_features, in_features] = GetParam();
    Product product;
    product.value.resize(num_tokens * in_features);
    product.error.resize(num_tokens * in_features);
    for (int64_t m = 0; m < num_tokens; ++m) {
      for (int64_t n = 0; n < out_features; ++n) {
        for (int64_t k = 0; k < in_features; ++k) {
          const double term =
              dout_.values[m * out_features + n] * weight_.values[n * in_features + k];
          product.value[m * in_features + k] += term;
          product.error[m * in_features + k] += SumError(out_features) * std::abs(term);
        }
      }
    }
    return product;
  }

  LinearBackwardInputArgs InputArgs() const {
    return {.dout = dout_.tensor, .weight = weight_.tensor, .dx = scratch_.tensor};
  }

  NormInputs MakeNormInputs() {
    const auto [dtype, num_tokens, out_features, in_features] = GetParam();
    NormInputs in = {.weight = Random(DType::kFloat32, {in_features}, "norm weight"),
                     .mean = Random(DType::kFloat32, {num_tokens}, "mean"),
                     .rstd = {},
                     .residual_gradient = Random(dtype, {num_tokens, in_features}, "residual")};
    std::vector<double> rstd(num_tokens);
    for (int64_t m = 0; m < num_tokens; ++m) rstd[m] = 0.5 + std::abs(in.mean.values[m]);
    in.rstd = FromValues(DType::kFloat32, {num_tokens}, rstd);
    return in;
  }

  // Without a residual and gradients of parameters.
  LayerNormBackwardArgs NormArgs(const NormInputs& in, const Tensor& dx) const {
    return {.dout = scratch_.tensor,
            .x = x_.tensor,
            .weight = in.weight.tensor,
            .mean = in.mean.tensor,
            .rstd = in.rstd.tensor,
            .dx = dx};
  }

  std::unique_ptr<CudaSmallLayer> small_;
  DeviceTensor dout_, weight_, x_;
  DeviceTensor scratch_;  // what is not written
};

TEST_P(SmallLayerBackwardTest, Input) {
  const auto [dtype, num_tokens, out_features, in_features] = GetParam();
  const Product product = InputProduct();
  for (const bool has_relu : {false, true}) {
    const DeviceTensor dx = Unwritten(dtype, {num_tokens, in_features});
    LinearBackwardInputArgs args = InputArgs();
    args.dx = dx.tensor;
    if (has_relu) args.relu_out = x_.tensor;
    small_->InputGradient({.linear = args}, ChainPlace::kFirst);
    Expected expected;
    for (size_t i = 0; i < product.value.size(); ++i) {
      const bool passes = !has_relu || x_.values[i] > 0;
      expected.reference.push_back(passes ? product.value[i] : 0);
      expected.bound.push_back(
          passes ? product.error[i] + 1.01 * StorageError(dtype, product.value[i]) : 0);
    }
    ExpectWithin(dx.tensor, expected.reference, expected.bound, has_relu ? "relu" : "plain");
  }
}

TEST_P(SmallLayerBackwardTest, WeightAloneOrPiggybacked) {
  const auto [dtype, num_tokens, out_features, in_features] = GetParam();
  for (const DType grad_dtype : {DType::kFloat32, dtype}) {
    for (const bool accumulates : {false, true}) {
      const Shape shape = {out_features, in_features};
      const DeviceTensor dweight =
          accumulates ? Random(grad_dtype, shape, "dweight") : Unwritten(grad_dtype, shape);
      const DeviceTensor dbias = accumulates ? Random(grad_dtype, {out_features}, "dbias")
                                             : Unwritten(grad_dtype, {out_features});
      const LinearBackwardWeightArgs args = {
          .dout = dout_.tensor,
          .x = x_.tensor,
          .dweight = dweight.tensor,
          .dbias = dbias.tensor,
          .write_mode = accumulates ? WriteMode::kAccumulate : WriteMode::kOverwrite};
      const PiggybackedWeights weights(&args, 1);
      if (accumulates) {
        small_->InputGradient({.linear = InputArgs(), .weights = weights}, ChainPlace::kFirst);
      } else {
        small_->WeightGradients(weights, ChainPlace::kFirst);
      }
      Expected weight, bias;
      const auto add = [&](Expected& expected, double sum, double magnitude, double old) {
        if (!accumulates) old = 0;
        expected.reference.push_back(sum + old);
        expected.bound.push_back(SumError(num_tokens) * magnitude +
                                 2 * kUnit * (std::abs(sum) + std::abs(old)) +
                                 1.01 * StorageError(grad_dtype, sum + old));
      };
      for (int64_t n = 0; n < out_features; ++n) {
        double bias_sum = 0;
        double bias_magnitude = 0;
        for (int64_t m = 0; m < num_tokens; ++m) {
          bias_sum += dout_.values[m * out_features + n];
          bias_magnitude += std::abs(dout_.values[m * out_features + n]);
        }
        add(bias, bias_sum, bias_magnitude, dbias.values[n]);
        for (int64_t k = 0; k < in_features; ++k) {
          double sum = 0;
          double magnitude = 0;
          for (int64_t m = 0; m < num_tokens; ++m) {
            const double term = dout_.values[m * out_features + n] * x_.values[m * in_features + k];
            sum += term;
            magnitude += std::abs(term);
          }
          add(weight, sum, magnitude, dweight.values[n * in_features + k]);
        }
      }
      const std::string what = fmt::format("{} {}", Name(grad_dtype), accumulates);
      ExpectWithin(dweight.tensor, weight.reference, weight.bound, "dweight " + what);
      ExpectWithin(dbias.tensor, bias.reference, bias.bound, "dbias " + what);
    }
  }
}

// The backward of the layer norm in front of the linear layer, in float64 and its error: g = dout *
// weight, of an error e each, makes averages of g and g n whose errors are averages of theirs.
struct NormReference {
  Expected dx, dweight, dbias;
};
NormReference ReferenceOf(const SmallCase& c, const Product& dout, const DeviceTensor& x,
                          const NormInputs& in, bool has_residual) {
  const int64_t h = c.in_features;
  NormReference r;
  for (Expected* expected : {&r.dweight, &r.dbias}) {
    expected->reference.assign(h, 0);
    expected->bound.assign(h, 0x1p-126);
  }
  for (int64_t m = 0; m < c.num_tokens; ++m) {
    const double rstd = in.rstd.values[m];
    double average_g = 0, average_gn = 0, error_g = 0, error_gn = 0;
    const auto n = [&](int64_t k) { return (x.values[m * h + k] - in.mean.values[m]) * rstd; };
    const auto g_error = [&](int64_t k) {
      return std::abs(in.weight.values[k]) *
             (dout.error[m * h + k] + kUnit * std::abs(dout.value[m * h + k]));
    };
    for (int64_t k = 0; k < h; ++k) {
      const double g = dout.value[m * h + k] * in.weight.values[k];
      average_g += g / h;
      average_gn += g * n(k) / h;
      error_g += (g_error(k) + 24 * kUnit * std::abs(g)) / h;
      error_gn += (g_error(k) + 30 * kUnit * std::abs(g)) * std::abs(n(k)) / h;
      const double d = dout.value[m * h + k];
      const double d_error = dout.error[m * h + k] + SumError(c.num_tokens) * std::abs(d);
      r.dweight.reference[k] += d * n(k);
      r.dweight.bound[k] += (d_error + 4 * kUnit * std::abs(d)) * std::abs(n(k));
      r.dbias.reference[k] += d;
      r.dbias.bound[k] += d_error;
    }
    for (int64_t k = 0; k < h; ++k) {
      const double g = dout.value[m * h + k] * in.weight.values[k];
      const double through = rstd * (g - average_g - n(k) * average_gn);
      const double around = has_residual ? in.residual_gradient.values[m * h + k] : 0;
      const double error =
          rstd * (g_error(k) + error_g + std::abs(n(k)) * error_gn +
                  6 * kUnit * (std::abs(g) + std::abs(average_g) + std::abs(n(k) * average_gn)));
      r.dx.reference.push_back(through + around);
      r.dx.bound.push_back(error + 2 * kUnit * (std::abs(through) + std::abs(around)) +
                           1.01 * StorageError(c.dtype, through + around));
    }
  }
  return r;
}

// dout weight behind a ReLU, where dout may be off by its bound.
Expected NextReference(const SmallCase& c, const Expected& dout, const DeviceTensor& weight,
                       const DeviceTensor& relu_out) {
  const int64_t num_columns = weight.tensor.row_size();
  Expected next;
  for (int64_t m = 0; m < c.num_tokens; ++m) {
    for (int64_t k = 0; k < num_columns; ++k) {
      double sum = 0;
      double error = 0;
      for (int64_t n = 0; n < c.in_features; ++n) {
        const double w = weight.values[n * num_columns + k];
        const size_t i = m * c.in_features + n;
        sum += dout.reference[i] * w;
        error += (dout.bound[i] +
                  SumError(c.in_features) * (std::abs(dout.reference[i]) + dout.bound[i])) *
                 std::abs(w);
      }
      const bool passes = relu_out.values[m * num_columns + k] > 0;
      next.reference.push_back(passes ? sum : 0);
      next.bound.push_back(
          passes ? error + 1.01 * (StorageError(c.dtype, sum) + StorageError(c.dtype, error)) : 0);
    }
  }
  return next;
}

// The product is stored in between.  The layer norm's backward runs on the way into the product of
// another linear layer, with every number of columns a tile.
TEST_P(SmallLayerBackwardTest, InputBehindALayerNormAndALinearLayer) {
  const auto [dtype, num_tokens, out_features, in_features] = GetParam();
  if (!CanRunSmallNormLinearBackward({num_tokens, in_features, out_features})) {
    EXPECT_GT(in_features, 256);
    GTEST_SKIP() << "no kernel holds rows as long";
  }
  const NormInputs in = MakeNormInputs();
  Product product = InputProduct();
  for (size_t i = 0; i < product.value.size(); ++i) {
    product.error[i] += 1.01 * StorageError(dtype, product.value[i]);
  }
  for (const int64_t num_columns : {64, 320, 1024}) {
    const bool accumulates = num_columns == 320;
    const bool has_residual = !accumulates;
    const DeviceTensor old_dweight = Random(DType::kFloat32, {in_features}, "dweight");
    const DeviceTensor old_dbias = Random(DType::kFloat32, {in_features}, "dbias");
    const DeviceTensor new_dweight = Unwritten(DType::kFloat32, {in_features});
    const DeviceTensor new_dbias = Unwritten(DType::kFloat32, {in_features});
    const DeviceTensor dx = Unwritten(dtype, {num_tokens, in_features});
    const Tensor dweight = accumulates ? old_dweight.tensor : new_dweight.tensor;
    const Tensor dbias = accumulates ? old_dbias.tensor : new_dbias.tensor;
    LayerNormBackwardArgs norm = NormArgs(in, dx.tensor);
    if (has_residual) norm.residual_gradient = in.residual_gradient.tensor;
    norm.dweight = dweight;
    norm.dbias = dbias;
    norm.write_mode = accumulates ? WriteMode::kAccumulate : WriteMode::kOverwrite;
    small_->InputGradient({.linear = InputArgs()}, ChainPlace::kFirst);
    const DeviceTensor next_weight = Random(dtype, {in_features, num_columns}, "next");
    const DeviceTensor relu_out = Random(dtype, {num_tokens, num_columns}, "relu");
    const DeviceTensor next_dx = Unwritten(dtype, {num_tokens, num_columns});
    small_->InputGradient({.linear = {.dout = dx.tensor,
                                      .weight = next_weight.tensor,
                                      .relu_out = relu_out.tensor,
                                      .dx = next_dx.tensor},
                           .norm = norm},
                          ChainPlace::kInside);
    NormReference expected = ReferenceOf(GetParam(), product, x_, in, has_residual);
    if (accumulates) {
      for (int64_t k = 0; k < in_features; ++k) {
        expected.dweight.reference[k] += old_dweight.values[k];
        expected.dweight.bound[k] += 2 * kUnit * std::abs(old_dweight.values[k]);
        expected.dbias.reference[k] += old_dbias.values[k];
        expected.dbias.bound[k] += 2 * kUnit * std::abs(old_dbias.values[k]);
      }
    }
    ExpectWithin(dx.tensor, expected.dx.reference, expected.dx.bound, "dx");
    ExpectWithin(dweight, expected.dweight.reference, expected.dweight.bound, "dweight");
    ExpectWithin(dbias, expected.dbias.reference, expected.dbias.bound, "dbias");
    const Expected next = NextReference(GetParam(), expected.dx, next_weight, relu_out);
    ExpectWithin(next_dx.tensor, next.reference, next.bound, "next dx");
  }
}

std::string NameOf(const testing::TestParamInfo<SmallCase>& info) {
  const auto& [dtype, num_tokens, out_features, in_features] = info.param;
  return fmt::format("{}_{}_{}_{}", Name(dtype), num_tokens, out_features, in_features);
}

INSTANTIATE_TEST_SUITE_P(Shapes, SmallLayerBackwardTest, testing::ValuesIn(AllCases()), NameOf);

}  // namespace
}  // namespace sluice::cuda
