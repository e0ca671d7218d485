#include "core/tensor/tensor.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/base/error.h"

namespace sluice {
namespace {

TEST(Tensor, RowsAreAViewOfTheSameMemory) {
  std::vector<float> data(2 * 3 * 4);
  const Tensor x(data.data(), DType::kFloat32, {3, 2, 4});
  const Tensor rows = x.Rows(1, 2);
  EXPECT_EQ(rows.shape(), Shape({2, 2, 4}));
  EXPECT_EQ(rows.Data<float>(), data.data() + 8);
  EXPECT_EQ(rows.num_bytes(), 64);
  EXPECT_EQ(x.Rows(3, 0).num_elements(), 0);
}

TEST(TensorDeathTest, RefusesRowsOutsideAndOtherElementTypes) {
  std::vector<float> data(4);
  const Tensor x(data.data(), DType::kFloat32, {2, 2});
  EXPECT_DEATH(x.Rows(1, 2), "begin \\+ count <= num_rows\\(\\) \\(3 vs. 2\\)");
  EXPECT_DEATH(x.Data<double>(), "f32 vs. f64");
  EXPECT_DEATH(x.Reshaped({3}), "3 vs. 4");
}

TEST(Precision, ParsesItsNamesAndSuggests) {
  EXPECT_EQ(ParsePrecision("tf32"), Precision::kTf32);
  EXPECT_EQ(StorageDType(Precision::kBFloat16), DType::kBFloat16);
  EXPECT_EQ(AccumulatorDType(Precision::kBFloat16), DType::kFloat32);
  EXPECT_EQ(AccumulatorDType(Precision::kFloat64), DType::kFloat64);
  EXPECT_THROW(ParsePrecision("fp32"), Error);
}

TEST(GradDType, IsTheAccumulatorOrTheStorageType) {
  EXPECT_EQ(ParseGradDType("f32", Precision::kBFloat16), DType::kFloat32);
  EXPECT_EQ(ParseGradDType("bf16", Precision::kBFloat16), DType::kBFloat16);
  EXPECT_EQ(ParseGradDType("f64", Precision::kFloat64), DType::kFloat64);
  EXPECT_THROW(ParseGradDType("f32", Precision::kFloat64), Error);
  EXPECT_THROW(ParseGradDType("bf16", Precision::kFloat16), Error);
  EXPECT_THROW(ParseGradDType("fp16", Precision::kTf32), Error);
}

}  // namespace
}  // namespace sluice
