#include "parallel/comm/reduce.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/base/error.h"

namespace sluice {
namespace {

TEST(ReduceInOrder, AddsLeftToRight) {
  // 1 is lost beside 2^60, unless it is added last.
  std::vector<double> big = {0x1p60};
  std::vector<double> minus_big = {-0x1p60};
  std::vector<double> one = {1};
  double out = 0;
  void* const outputs[] = {&out};
  const void* const lost[] = {big.data(), one.data(), minus_big.data()};
  ReduceInOrder(lost, 1, DType::kFloat64, ReduceOp::kSum, outputs);
  EXPECT_EQ(out, 0);
  const void* const kept[] = {big.data(), minus_big.data(), one.data()};
  ReduceInOrder(kept, 1, DType::kFloat64, ReduceOp::kSum, outputs);
  EXPECT_EQ(out, 1);
}

TEST(ReduceInOrder, WritesEveryOutputAndMayWriteItsInputs) {
  for (int64_t count : {0, 1, 1023, 1024, 1025, 5000}) {
    std::vector<int64_t> a(count, 3);
    std::vector<int64_t> b(count, 4);
    const void* const inputs[] = {a.data(), b.data()};
    void* const outputs[] = {a.data(), b.data()};
    ReduceInOrder(inputs, count, ControlType::kInt64, ReduceOp::kSum, outputs);
    EXPECT_EQ(a, std::vector<int64_t>(count, 7));
    EXPECT_EQ(b, std::vector<int64_t>(count, 7));
  }
}

TEST(ReduceInOrder, AMaximumWithNaNIsNaN) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const auto& [x, y] : {std::pair{nan, 1.0F}, std::pair{1.0F, nan}}) {
    float out = 0;
    const void* const inputs[] = {&x, &y};
    void* const outputs[] = {&out};
    ReduceInOrder(inputs, 1, DType::kFloat32, ReduceOp::kMax, outputs);
    EXPECT_TRUE(std::isnan(out));
  }
}

TEST(CheckReducible, RefusesSixteenBitsAndBytes) {
  EXPECT_THROW(CheckReducible(DType::kBFloat16), Error);
  EXPECT_THROW(CheckReducible(DType::kFloat16), Error);
  EXPECT_THROW(CheckReducible(ControlType::kByte), Error);
  EXPECT_NO_THROW(CheckReducible(DType::kFloat32));
}

}  // namespace
}  // namespace sluice
