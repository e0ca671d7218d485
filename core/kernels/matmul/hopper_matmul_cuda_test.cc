#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/kernels/cuda/kernel_test.h"
#include "core/kernels/cuda/launch.h"
#include "core/kernels/matmul/hopper_matmul.h"

namespace sluice::cuda {
namespace {

// Sizes that are no multiple of any tile, and fewer rows and columns than any.
struct ProductSize {
  int64_t num_rows;
  int64_t num_columns;
  int64_t num_summed;
};
constexpr ProductSize kSizes[] = {{300, 520, 200}, {77, 8, 520}, {530, 400, 64}};

struct HopperMatmulCase {
  DType dtype;
  int variant;
};

class HopperMatmulCudaTest : public KernelTest,
                             public testing::WithParamInterface<HopperMatmulCase> {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    if (IsSkipped()) return;
    if (ComputeCapability() != 90) GTEST_SKIP() << "needs a GPU of compute capability 9.0";
  }
};

enum class Surroundings { kNothing, kBiasAndRelu, kBiasAndAddedInPlace };

TEST_P(HopperMatmulCudaTest, MatchesFloat64) {
  const auto [dtype, variant] = GetParam();
  for (const auto& [num_rows, num_columns, num_summed] : kSizes) {
    const DeviceTensor a = Random(dtype, {num_rows, num_summed}, "a");
    const DeviceTensor b = Random(dtype, {num_columns, num_summed}, "b");
    const DeviceTensor bias = Random(dtype, {num_columns}, "bias");
    for (const Surroundings around :
         {Surroundings::kNothing, Surroundings::kBiasAndRelu, Surroundings::kBiasAndAddedInPlace}) {
      const bool has_bias = around != Surroundings::kNothing;
      const bool has_relu = around == Surroundings::kBiasAndRelu;
      const bool is_added = around == Surroundings::kBiasAndAddedInPlace;
      const Shape shape = {num_rows, num_columns};
      const DeviceTensor d = is_added ? Random(dtype, shape, "added") : Unwritten(dtype, shape);
      const HopperMatmulArgs args = {
          .num_rows = num_rows,
          .num_columns = num_columns,
          .num_summed = num_summed,
          .dtype = dtype,
          .a = a.tensor.data(),
          .b = b.tensor.data(),
          .bias = has_bias ? bias.tensor.data() : nullptr,
          .added = is_added ? d.tensor.data() : nullptr,
          .d = d.tensor.data(),
          .activation = has_relu ? Activation::kRelu : Activation::kNone};
      ASSERT_TRUE(SupportsHopperMatmul(args));
      RunHopperMatmul(variant, args, stream().handle());

      std::vector<double> reference;
      std::vector<double> bound;
      for (int64_t m = 0; m < num_rows; ++m) {
        for (int64_t n = 0; n < num_columns; ++n) {
          double sum = 0;
          double magnitude = 0;
          const auto add = [&](double term) {
            sum += term;
            magnitude += std::abs(term);
          };
          for (int64_t k = 0; k < num_summed; ++k) {
            add(a.values[m * num_summed + k] * b.values[n * num_summed + k]);
          }
          if (has_bias) add(bias.values[n]);
          if (is_added) add(d.values[m * num_columns + n]);
          if (has_relu) sum = std::max(sum, 0.0);
          reference.push_back(sum);
          // Tensor cores cut off what they add below the accumulator's last place.
          bound.push_back(2 * static_cast<double>(num_summed + 8) * kUnit * magnitude +
                          1.01 * StorageError(dtype, sum));
        }
      }
      ExpectWithin(d.tensor, reference, bound,
                   fmt::format("{}x{}x{} around {}", num_rows, num_columns, num_summed,
                               static_cast<int>(around)));
    }
  }
}

std::vector<HopperMatmulCase> AllCases() {
  std::vector<HopperMatmulCase> cases;
  for (const DType dtype : {DType::kBFloat16, DType::kFloat16}) {
    for (int variant = 0; variant < NumHopperMatmulVariants(); ++variant) {
      cases.push_back({dtype, variant});
    }
  }
  return cases;
}

std::string NameOf(const testing::TestParamInfo<HopperMatmulCase>& info) {
  return fmt::format("{}_{}", Name(info.param.dtype), info.param.variant);
}

INSTANTIATE_TEST_SUITE_P(Variants, HopperMatmulCudaTest, testing::ValuesIn(AllCases()), NameOf);

}  // namespace
}  // namespace sluice::cuda
