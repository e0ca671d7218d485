#include "core/kernels/matmul/matmul_cuda.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "core/kernels/cuda/kernel_test.h"

namespace sluice::cuda {
namespace {

struct LinearSize {
  int64_t num_tokens;
  int64_t num_inputs;
  int64_t num_outputs;
};

struct LinearCase {
  Precision precision;
  LinearSize size;
};

std::vector<LinearCase> AllCases() {
  std::vector<LinearCase> cases;
  for (const Precision precision :
       {Precision::kFloat32, Precision::kTf32, Precision::kBFloat16, Precision::kFloat16}) {
    for (const LinearSize size :
         {LinearSize{128, 256, 768}, LinearSize{1, 64, 64}, LinearSize{5, 1600, 40},
          LinearSize{37, 129, 65}, LinearSize{700, 72, 3}}) {
      cases.push_back({precision, size});
    }
  }
  return cases;
}

// What one product of the two factors, and one addition of it, can be off by, relative to the
// magnitudes.  Tensor cores cut off what they add below the accumulator's last place, where float32
// arithmetic rounds: twice the unit.  tf32 cuts both factors to 11 significant bits.
double ProductError(Precision precision, int64_t num_products) {
  const double accumulation = 2 * static_cast<double>(num_products + 2) * kUnit;
  return precision == Precision::kTf32 ? accumulation + 2 * 0x1p-10 : accumulation;
}

class MatmulCudaTest : public KernelTest, public testing::WithParamInterface<LinearCase> {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    if (IsSkipped()) return;
    matmul_ = std::make_unique<CublasLtMatmul>(device(), std::vector<CudaStream*>{&stream()},
                                               GetParam().precision);
    const LinearSize& size = GetParam().size;
    scratch_ = device().Allocate(LinearScratchBytes(std::max(size.num_inputs, size.num_outputs)),
                                 "scratch");
  }
  void TearDown() override {
    matmul_.reset();
    scratch_ = Buffer();
  }

  LinearContext context() {
    return {.matmul = *matmul_, .stream = stream(), .scratch = scratch_.data()};
  }
  DType dtype() const { return StorageDType(GetParam().precision); }
  const LinearSize& size() const { return GetParam().size; }

 private:
  std::unique_ptr<CublasLtMatmul> matmul_;
  Buffer scratch_;
};

// What a product that a 16-bit matrix or bias is added to may be off by besides: some of cuBLASLt's
// kernels round the product to 16 bits before they add it.
double AddedProductError(DType dtype, double product) {
  return dtype == DType::kFloat32 ? 0 : 1.01 * StorageError(dtype, product);
}

enum class Extra { kNothing, kBias, kBiasRelu, kBiasResidual };

TEST_P(MatmulCudaTest, Forward) {
  const auto [num_tokens, num_inputs, num_outputs] = size();
  const DeviceTensor x = Random(dtype(), {num_tokens, num_inputs}, "x");
  const DeviceTensor weight = Random(dtype(), {num_outputs, num_inputs}, "weight");
  const DeviceTensor bias = Random(dtype(), {num_outputs}, "bias");
  const DeviceTensor residual = Random(dtype(), {num_tokens, num_outputs}, "residual");
  for (const Extra extra :
       {Extra::kNothing, Extra::kBias, Extra::kBiasRelu, Extra::kBiasResidual}) {
    const DeviceTensor out = Unwritten(dtype(), {num_tokens, num_outputs});
    LinearForwardArgs args = {.x = x.tensor, .weight = weight.tensor, .out = out.tensor};
    if (extra != Extra::kNothing) args.bias = bias.tensor;
    if (extra == Extra::kBiasRelu) args.activation = Activation::kRelu;
    if (extra == Extra::kBiasResidual) args.residual = residual.tensor;
    LinearForward(args, context());

    Expected expected;
    for (int64_t m = 0; m < num_tokens; ++m) {
      for (int64_t n = 0; n < num_outputs; ++n) {
        double sum = 0;
        double magnitude = 0;
        const auto add = [&](double term) {
          sum += term;
          magnitude += std::abs(term);
        };
        for (int64_t k = 0; k < num_inputs; ++k) {
          add(x.values[m * num_inputs + k] * weight.values[n * num_inputs + k]);
        }
        const double product = sum;
        if (extra != Extra::kNothing) add(bias.values[n]);
        if (extra == Extra::kBiasRelu) sum = std::max(sum, 0.0);
        double error = extra == Extra::kNothing ? 0 : AddedProductError(dtype(), product);
        if (extra == Extra::kBiasResidual) {
          const double residual_value = residual.values[m * num_outputs + n];
          // Bias and residual are added one after the other, in either order.
          error = AddedProductError(dtype(), product) +
                  std::max(AddedProductError(dtype(), sum),
                           AddedProductError(dtype(), product + residual_value));
          add(residual_value);
        }
        expected.reference.push_back(sum);
        expected.bound.push_back(error +
                                 ProductError(GetParam().precision, num_inputs) * magnitude +
                                 1.01 * StorageError(dtype(), sum));
      }
    }
    ExpectWithin(out.tensor, expected.reference, expected.bound,
                 fmt::format("extra {}", static_cast<int>(extra)));
  }
}

TEST_P(MatmulCudaTest, ForwardAddsAResidualInPlace) {
  const auto [num_tokens, num_inputs, num_outputs] = size();
  const DeviceTensor x = Random(dtype(), {num_tokens, num_inputs}, "x");
  const DeviceTensor weight = Random(dtype(), {num_outputs, num_inputs}, "weight");
  const DeviceTensor residual = Random(dtype(), {num_tokens, num_outputs}, "residual");
  LinearForward(
      {.x = x.tensor, .weight = weight.tensor, .residual = residual.tensor, .out = residual.tensor},
      context());
  Expected expected;
  for (int64_t m = 0; m < num_tokens; ++m) {
    for (int64_t n = 0; n < num_outputs; ++n) {
      double product = 0;
      double magnitude = std::abs(residual.values[m * num_outputs + n]);
      for (int64_t k = 0; k < num_inputs; ++k) {
        const double term = x.values[m * num_inputs + k] * weight.values[n * num_inputs + k];
        product += term;
        magnitude += std::abs(term);
      }
      const double sum = product + residual.values[m * num_outputs + n];
      expected.reference.push_back(sum);
      expected.bound.push_back(AddedProductError(dtype(), product) +
                               ProductError(GetParam().precision, num_inputs) * magnitude +
                               1.01 * StorageError(dtype(), sum));
    }
  }
  ExpectWithin(residual.tensor, expected.reference, expected.bound, "in place");
}

TEST_P(MatmulCudaTest, BackwardInput) {
  const auto [num_tokens, num_inputs, num_outputs] = size();
  const DeviceTensor dout = Random(dtype(), {num_tokens, num_outputs}, "dout");
  const DeviceTensor weight = Random(dtype(), {num_outputs, num_inputs}, "weight");
  const DeviceTensor relu_out = Random(dtype(), {num_tokens, num_inputs}, "relu_out");
  for (const bool has_relu : {false, true}) {
    const DeviceTensor dx = Unwritten(dtype(), {num_tokens, num_inputs});
    LinearBackwardInput({.dout = dout.tensor,
                         .weight = weight.tensor,
                         .relu_out = has_relu ? relu_out.tensor : Tensor(),
                         .dx = dx.tensor},
                        context());
    Expected expected;
    for (int64_t m = 0; m < num_tokens; ++m) {
      for (int64_t k = 0; k < num_inputs; ++k) {
        double sum = 0;
        double magnitude = 0;
        for (int64_t n = 0; n < num_outputs; ++n) {
          const double term = dout.values[m * num_outputs + n] * weight.values[n * num_inputs + k];
          sum += term;
          magnitude += std::abs(term);
        }
        const bool is_masked = has_relu && !(relu_out.values[m * num_inputs + k] > 0);
        expected.reference.push_back(is_masked ? 0 : sum);
        expected.bound.push_back(is_masked
                                     ? 0
                                     : ProductError(GetParam().precision, num_outputs) * magnitude +
                                           1.01 * StorageError(dtype(), sum));
      }
    }
    ExpectWithin(dx.tensor, expected.reference, expected.bound, has_relu ? "masked" : "whole");
  }
}

TEST_P(MatmulCudaTest, BackwardInputMasksAndSums) {
  const auto [num_tokens, num_inputs, num_outputs] = size();
  const DeviceTensor dout = Random(dtype(), {num_tokens, num_outputs}, "dout");
  const DeviceTensor weight = Random(dtype(), {num_outputs, num_inputs}, "weight");
  const DeviceTensor relu_out = Random(dtype(), {num_tokens, num_inputs}, "relu_out");
  const DeviceTensor plain = Unwritten(dtype(), {num_tokens, num_inputs});
  const DeviceTensor dx = Unwritten(dtype(), {num_tokens, num_inputs});
  const Buffer partials = device().Allocate(
      ColumnSumsScratchSize(num_inputs) * SizeOf(DType::kFloat32), "partial sums");
  LinearBackwardInputArgs args = {.dout = dout.tensor,
                                  .weight = weight.tensor,
                                  .relu_out = relu_out.tensor,
                                  .dx = plain.tensor};
  LinearBackwardInput(args, context());
  args.dx = dx.tensor;
  const ColumnPartials sums =
      LinearBackwardInputAndSums(args, static_cast<float*>(partials.data()), context());
  const std::vector<double> values = Read(dx.tensor);
  EXPECT_EQ(values, Read(plain.tensor));
  for (const DType grad_dtype : {DType::kFloat32, dtype()}) {
    const DeviceTensor dbias = Random(grad_dtype, {num_inputs}, "dbias");
    SumPartials(sums, {.first = dbias.tensor, .second = {}}, WriteMode::kAccumulate,
                stream().handle());
    Expected expected;
    for (int64_t k = 0; k < num_inputs; ++k) {
      double sum = dbias.values[k];
      double magnitude = std::abs(sum);
      for (int64_t m = 0; m < num_tokens; ++m) {
        sum += values[m * num_inputs + k];
        magnitude += std::abs(values[m * num_inputs + k]);
      }
      expected.reference.push_back(sum);
      expected.bound.push_back(ProductError(Precision::kFloat32, num_tokens) * magnitude +
                               1.01 * StorageError(grad_dtype, sum));
    }
    ExpectWithin(dbias.tensor, expected.reference, expected.bound,
                 fmt::format("sums in {}", Name(grad_dtype)));
  }
}

TEST_P(MatmulCudaTest, BackwardWeight) {
  const auto [num_tokens, num_inputs, num_outputs] = size();
  const DeviceTensor dout = Random(dtype(), {num_tokens, num_outputs}, "dout");
  const DeviceTensor x = Random(dtype(), {num_tokens, num_inputs}, "x");
  for (const DType grad_dtype : {DType::kFloat32, dtype()}) {
    for (const WriteMode mode : {WriteMode::kAccumulate, WriteMode::kOverwrite}) {
      const bool accumulates = mode == WriteMode::kAccumulate;
      const DeviceTensor old_dweight = Random(grad_dtype, {num_outputs, num_inputs}, "dweight");
      const DeviceTensor old_dbias = Random(grad_dtype, {num_outputs}, "dbias");
      const DeviceTensor new_dweight = Unwritten(grad_dtype, {num_outputs, num_inputs});
      const DeviceTensor new_dbias = Unwritten(grad_dtype, {num_outputs});
      const DeviceTensor& dweight = accumulates ? old_dweight : new_dweight;
      const DeviceTensor& dbias = accumulates ? old_dbias : new_dbias;
      LinearBackwardWeight({.dout = dout.tensor,
                            .x = x.tensor,
                            .dweight = dweight.tensor,
                            .dbias = dbias.tensor,
                            .write_mode = mode},
                           context());
      Expected weight;
      Expected bias;
      for (int64_t n = 0; n < num_outputs; ++n) {
        for (int64_t k = 0; k <= num_inputs; ++k) {  // the last one is the bias
          const bool is_bias = k == num_inputs;
          const double old = !accumulates ? 0
                             : is_bias    ? old_dbias.values[n]
                                          : old_dweight.values[n * num_inputs + k];
          double sum = old;
          double magnitude = std::abs(old);
          for (int64_t m = 0; m < num_tokens; ++m) {
            const double factor = is_bias ? 1 : x.values[m * num_inputs + k];
            const double term = dout.values[m * num_outputs + n] * factor;
            sum += term;
            magnitude += std::abs(term);
          }
          const Precision precision = is_bias ? Precision::kFloat32 : GetParam().precision;
          Expected& expected = is_bias ? bias : weight;
          expected.reference.push_back(sum);
          const double error = accumulates ? AddedProductError(grad_dtype, sum - old) : 0;
          expected.bound.push_back(error + ProductError(precision, num_tokens) * magnitude +
                                   1.01 * StorageError(grad_dtype, sum));
        }
      }
      const std::string what =
          fmt::format("{} {}", Name(grad_dtype), accumulates ? "accumulated" : "overwritten");
      ExpectWithin(dweight.tensor, weight.reference, weight.bound, "dweight " + what);
      ExpectWithin(dbias.tensor, bias.reference, bias.bound, "dbias " + what);
    }
  }
}

std::string NameOf(const testing::TestParamInfo<LinearCase>& info) {
  const auto& [precision, size] = info.param;
  return fmt::format("{}_{}_{}_{}", Name(precision), size.num_tokens, size.num_inputs,
                     size.num_outputs);
}

INSTANTIATE_TEST_SUITE_P(Shapes, MatmulCudaTest, testing::ValuesIn(AllCases()), NameOf);

}  // namespace
}  // namespace sluice::cuda
