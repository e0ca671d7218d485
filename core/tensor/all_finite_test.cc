#include "core/tensor/all_finite.h"

#include <gtest/gtest.h>

#include <limits>
#include <span>
#include <vector>

#include "core/tensor/convert.h"

namespace sluice {
namespace {

class AllFiniteTest : public testing::TestWithParam<DType> {};

TEST_P(AllFiniteTest, FindsOneWhereverItIs) {
  constexpr int64_t kSize = 9001;
  const double infinity = std::numeric_limits<double>::infinity();
  std::vector<char> bytes(static_cast<size_t>(kSize * SizeOf(GetParam())));
  const Tensor host(bytes.data(), GetParam(), {kSize});
  std::vector<double> values(kSize, -60000.0);  // near the largest of fp16
  ConvertFrom(host, std::span<const double>(values));
  EXPECT_TRUE(AllFinite(host));
  for (const size_t at : {size_t{0}, size_t{4095}, size_t{4096}, size_t{9000}}) {
    for (const double bad : {infinity, -infinity, std::numeric_limits<double>::quiet_NaN()}) {
      std::vector<double> changed = values;
      changed[at] = bad;
      ConvertFrom(host, std::span<const double>(changed));
      EXPECT_FALSE(AllFinite(host)) << at << " " << bad;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(DTypes, AllFiniteTest,
                         testing::Values(DType::kFloat64, DType::kFloat32, DType::kBFloat16,
                                         DType::kFloat16));

}  // namespace
}  // namespace sluice
