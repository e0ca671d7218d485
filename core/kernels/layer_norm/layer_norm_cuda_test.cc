#include "core/kernels/layer_norm/layer_norm_cuda.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/kernels/cuda/kernel_test.h"

namespace sluice::cuda {
namespace {

struct LayerNormCase {
  DType dtype;
  int64_t num_tokens;
  int64_t hidden_size;
};

// Sizes for each kernel: a warp a token (one, two, four and eight vectors a lane), a block a token,
// and the strided one for odd and for very long rows; in the backward several tokens a block, and
// more tokens than the blocks hold at once.
std::vector<LayerNormCase> AllCases() {
  std::vector<LayerNormCase> cases;
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    for (const auto& [num_tokens, hidden_size] : {std::pair<int64_t, int64_t>{128, 256},
                                                  {1, 64},
                                                  {301, 1600},
                                                  {37, 129},
                                                  {3, 5},
                                                  {5, 12288},
                                                  {3, 16400},
                                                  {2, 33000},
                                                  {67, 768},
                                                  {1000, 400}}) {
      cases.push_back({dtype, num_tokens, hidden_size});
    }
  }
  return cases;
}

// Additions in a row at most in a sum over the hidden dimension, with those of the warps: 33000
// elements by 512 threads, and two times five.
constexpr double kSumDepth = 80;

// Statistics of one token in float64, and what float32 makes of them.
struct TokenStatistics {
  double mean = 0;
  double rstd = 0;
  double mean_error = 0;
  double rstd_relative_error = 0;
};

TokenStatistics Statistics(const double* x, int64_t hidden_size) {
  TokenStatistics s;
  double magnitude = 0;
  const auto h = static_cast<double>(hidden_size);
  for (int64_t c = 0; c < hidden_size; ++c) {
    s.mean += x[c] / h;
    magnitude += std::abs(x[c]) / h;
  }
  double variance = 0;
  for (int64_t c = 0; c < hidden_size; ++c) variance += (x[c] - s.mean) * (x[c] - s.mean) / h;
  s.rstd = 1 / std::sqrt(variance + kLayerNormEpsilon);
  s.mean_error = kSumDepth * kUnit * magnitude;
  // Half the relative error of the variance (its sum, two roundings a term, a shifted mean), and
  // the two units of the reciprocal root.
  const double shift = s.mean_error * s.rstd;
  s.rstd_relative_error =
      (kSumDepth + 4) / 2 * kUnit + shift * shift + 2 * shift * kUnit * h + 4 * kUnit;
  return s;
}

class LayerNormCudaTest : public KernelTest, public testing::WithParamInterface<LayerNormCase> {};

TEST_P(LayerNormCudaTest, Forward) {
  const auto [dtype, num_tokens, hidden_size] = GetParam();
  const DeviceTensor x = Random(dtype, {num_tokens, hidden_size}, "x");
  const DeviceTensor weight = Random(DType::kFloat32, {hidden_size}, "weight");
  const DeviceTensor bias = Random(DType::kFloat32, {hidden_size}, "bias");
  const DeviceTensor out = Unwritten(dtype, {num_tokens, hidden_size});
  const DeviceTensor mean = Unwritten(DType::kFloat32, {num_tokens});
  const DeviceTensor rstd = Unwritten(DType::kFloat32, {num_tokens});
  LayerNormForward({.x = x.tensor,
                    .weight = weight.tensor,
                    .bias = bias.tensor,
                    .out = out.tensor,
                    .mean = mean.tensor,
                    .rstd = rstd.tensor},
                   stream().handle());

  std::vector<double> reference;
  std::vector<double> bound;
  std::vector<double> means;
  std::vector<double> mean_bound;
  std::vector<double> rstds;
  std::vector<double> rstd_bound;
  for (int64_t m = 0; m < num_tokens; ++m) {
    const double* row = x.values.data() + m * hidden_size;
    const TokenStatistics s = Statistics(row, hidden_size);
    means.push_back(s.mean);
    mean_bound.push_back(s.mean_error + 2 * StorageError(DType::kFloat32, s.mean));
    rstds.push_back(s.rstd);
    rstd_bound.push_back(s.rstd_relative_error * s.rstd);
    for (int64_t c = 0; c < hidden_size; ++c) {
      const double normalised = (row[c] - s.mean) * s.rstd;
      const double scaled = normalised * weight.values[c];
      const double expected = scaled + bias.values[c];
      reference.push_back(expected);
      bound.push_back(std::abs(weight.values[c]) *
                          (s.rstd * (s.mean_error + 2 * kUnit * std::abs(row[c] - s.mean)) +
                           std::abs(normalised) * (s.rstd_relative_error + 2 * kUnit)) +
                      2 * kUnit * (std::abs(scaled) + std::abs(bias.values[c])) +
                      1.01 * StorageError(dtype, expected));
    }
  }
  ExpectWithin(out.tensor, reference, bound, "out");
  ExpectWithin(mean.tensor, means, mean_bound, "mean");
  ExpectWithin(rstd.tensor, rstds, rstd_bound, "rstd");
}

// Everything that the backward reads.
struct BackwardInputs {
  DeviceTensor x;
  DeviceTensor dout;
  DeviceTensor residual_gradient;
  DeviceTensor weight;
  DeviceTensor mean;
  DeviceTensor rstd;
};

struct ExpectedGradients {
  Expected dx;
  Expected dweight;
  Expected dbias;
};

// Bounds follow the kernel's operations; n is the normalised x, and en what it can be off by.
ExpectedGradients Reference(const LayerNormCase& c, const BackwardInputs& in, bool has_residual) {
  const auto [dtype, num_tokens, hidden_size] = c;
  const auto h = static_cast<double>(hidden_size);
  const auto zeros = std::vector<double>(static_cast<size_t>(hidden_size));
  ExpectedGradients expected;
  expected.dweight = {zeros, zeros};
  expected.dbias = {zeros, zeros};
  const double sum_error = static_cast<double>(num_tokens + 2) * kUnit;
  for (int64_t m = 0; m < num_tokens; ++m) {
    const double* x = in.x.values.data() + m * hidden_size;
    const double* dout = in.dout.values.data() + m * hidden_size;
    const double mean = in.mean.values[m];
    const double rstd = in.rstd.values[m];
    const auto n = [&](int64_t i) { return (x[i] - mean) * rstd; };
    double average_g = 0, average_gn = 0, magnitude_g = 0, magnitude_gn = 0;
    for (int64_t i = 0; i < hidden_size; ++i) {
      const double g = dout[i] * in.weight.values[i];
      average_g += g / h;
      average_gn += g * n(i) / h;
      magnitude_g += std::abs(g) / h;
      magnitude_gn += std::abs(g * n(i)) / h;
      const double en = 3 * kUnit * std::abs(n(i));
      expected.dweight.reference[i] += dout[i] * n(i);
      expected.dweight.bound[i] += std::abs(dout[i]) * (en + sum_error * std::abs(n(i)));
      expected.dbias.reference[i] += dout[i];
      expected.dbias.bound[i] += sum_error * std::abs(dout[i]);
    }
    for (int64_t i = 0; i < hidden_size; ++i) {
      const double g = dout[i] * in.weight.values[i];
      const double through = rstd * (g - average_g - n(i) * average_gn);
      const double around = has_residual ? in.residual_gradient.values[m * hidden_size + i] : 0;
      const double error = rstd * ((kSumDepth + 4) * kUnit * magnitude_g +
                                   (kSumDepth + 8) * kUnit * magnitude_gn * std::abs(n(i)) +
                                   6 * kUnit * (std::abs(g) + std::abs(n(i) * average_gn)));
      expected.dx.reference.push_back(through + around);
      expected.dx.bound.push_back(error + 2 * kUnit * (std::abs(through) + std::abs(around)) +
                                  1.01 * StorageError(dtype, through + around));
    }
  }
  return expected;
}

void AddOld(Expected& expected, const std::vector<double>& old) {
  for (size_t i = 0; i < old.size(); ++i) {
    expected.reference[i] += old[i];
    expected.bound[i] += kUnit * std::abs(old[i]);
  }
}

TEST_P(LayerNormCudaTest, Backward) {
  const auto [dtype, num_tokens, hidden_size] = GetParam();
  const Shape shape = {num_tokens, hidden_size};
  BackwardInputs in = {.x = Random(dtype, shape, "x"),
                       .dout = Random(dtype, shape, "dout"),
                       .residual_gradient = Random(dtype, shape, "residual_gradient"),
                       .weight = Random(DType::kFloat32, {hidden_size}, "weight")};
  std::vector<double> means;
  std::vector<double> rstds;
  for (int64_t m = 0; m < num_tokens; ++m) {
    const TokenStatistics s = Statistics(in.x.values.data() + m * hidden_size, hidden_size);
    means.push_back(s.mean);
    rstds.push_back(s.rstd);
  }
  in.mean = FromValues(DType::kFloat32, {num_tokens}, means);
  in.rstd = FromValues(DType::kFloat32, {num_tokens}, rstds);
  Buffer scratch = device().Allocate(LayerNormScratchSize(hidden_size) * 4, "scratch");

  for (const bool accumulates : {false, true}) {
    const bool has_residual = !accumulates;
    const DeviceTensor old_dweight = Random(DType::kFloat32, {hidden_size}, "dweight");
    const DeviceTensor old_dbias = Random(DType::kFloat32, {hidden_size}, "dbias");
    const DeviceTensor new_dweight = Unwritten(DType::kFloat32, {hidden_size});
    const DeviceTensor new_dbias = Unwritten(DType::kFloat32, {hidden_size});
    const DeviceTensor dx = Unwritten(dtype, shape);
    const Tensor dweight = accumulates ? old_dweight.tensor : new_dweight.tensor;
    const Tensor dbias = accumulates ? old_dbias.tensor : new_dbias.tensor;
    LayerNormBackward({.dout = in.dout.tensor,
                       .x = in.x.tensor,
                       .weight = in.weight.tensor,
                       .mean = in.mean.tensor,
                       .rstd = in.rstd.tensor,
                       .residual_gradient = has_residual ? in.residual_gradient.tensor : Tensor(),
                       .dx = dx.tensor,
                       .dweight = dweight,
                       .dbias = dbias,
                       .write_mode = accumulates ? WriteMode::kAccumulate : WriteMode::kOverwrite},
                      static_cast<float*>(scratch.data()), stream().handle());
    ExpectedGradients expected = Reference(GetParam(), in, has_residual);
    if (accumulates) {
      AddOld(expected.dweight, old_dweight.values);
      AddOld(expected.dbias, old_dbias.values);
    }
    const std::string what = accumulates ? " accumulated" : " overwritten";
    ExpectWithin(dx.tensor, expected.dx.reference, expected.dx.bound, "dx" + what);
    for (double& bound : expected.dweight.bound) bound += 0x1p-126;
    ExpectWithin(dweight, expected.dweight.reference, expected.dweight.bound, "dweight" + what);
    ExpectWithin(dbias, expected.dbias.reference, expected.dbias.bound, "dbias" + what);
  }
}

TEST_P(LayerNormCudaTest, BackwardIsTheSameBitsAgainAndInPlace) {
  const auto [dtype, num_tokens, hidden_size] = GetParam();
  const Shape shape = {num_tokens, hidden_size};
  const DeviceTensor x = Random(dtype, shape, "x");
  const DeviceTensor weight = Random(DType::kFloat32, {hidden_size}, "weight");
  const DeviceTensor mean = Random(DType::kFloat32, {num_tokens}, "mean");
  const DeviceTensor rstd = Random(DType::kFloat32, {num_tokens}, "rstd");
  Buffer scratch = device().Allocate(LayerNormScratchSize(hidden_size) * 4, "scratch");
  std::vector<std::vector<double>> results;
  for (const bool in_place : {false, true}) {
    const DeviceTensor dout = Random(dtype, shape, "dout");
    const DeviceTensor dx = Unwritten(dtype, shape);
    const DeviceTensor dweight = Unwritten(DType::kFloat32, {hidden_size});
    const DeviceTensor dbias = Unwritten(DType::kFloat32, {hidden_size});
    const Tensor to = in_place ? dout.tensor : dx.tensor;
    LayerNormBackward({.dout = dout.tensor,
                       .x = x.tensor,
                       .weight = weight.tensor,
                       .mean = mean.tensor,
                       .rstd = rstd.tensor,
                       .dx = to,
                       .dweight = dweight.tensor,
                       .dbias = dbias.tensor},
                      static_cast<float*>(scratch.data()), stream().handle());
    std::vector<double> all = Read(to);
    for (const Tensor& tensor : {dweight.tensor, dbias.tensor}) {
      const std::vector<double> values = Read(tensor);
      all.insert(all.end(), values.begin(), values.end());
    }
    results.push_back(all);
  }
  EXPECT_EQ(results[0], results[1]);
}

std::string NameOf(const testing::TestParamInfo<LayerNormCase>& info) {
  const auto& [dtype, num_tokens, hidden_size] = info.param;
  return fmt::format("{}_{}_{}", Name(dtype), num_tokens, hidden_size);
}

INSTANTIATE_TEST_SUITE_P(Shapes, LayerNormCudaTest, testing::ValuesIn(AllCases()), NameOf);

}  // namespace
}  // namespace sluice::cuda
