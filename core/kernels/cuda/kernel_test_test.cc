#include "core/kernels/cuda/kernel_test.h"

#include <cmath>

namespace sluice::cuda {
namespace {

// Negative controls: what the comparison of kernels must not let pass.
TEST(FindOutsideBound, FindsOneWrongElement) {
  EXPECT_EQ(FindOutsideBound({1, 2, 3}, {1, 2, 3}, {0, 0, 0}), "");
  EXPECT_EQ(FindOutsideBound({1, 2.5, 3}, {1, 2, 3}, {0.5, 0.5, 0.5}), "");
  EXPECT_EQ(FindOutsideBound({1, 2.5, 3}, {1, 2, 3}, {0.5, 0.25, 0.5}),
            "element 1: 2.5 instead of 2, off by 0.5, allowed 0.25");
}

TEST(FindOutsideBound, FindsNaN) {
  EXPECT_NE(FindOutsideBound({NAN}, {1}, {1e30}), "");
  EXPECT_NE(FindOutsideBound({1}, {1}, {NAN}), "");
}

TEST(StorageError, IsHalfAUnitInTheLastPlace) {
  EXPECT_EQ(StorageError(DType::kBFloat16, 1.0) - StorageError(DType::kBFloat16, 0), 0x1p-8);
  EXPECT_EQ(StorageError(DType::kFloat16, 0), 0x1p-25);
}

class KernelTestTest : public KernelTest {};

TEST_F(KernelTestTest, OutputsStartAsNaN) {
  const DeviceTensor out = Unwritten(DType::kBFloat16, {3});
  for (const double value : Read(out.tensor)) EXPECT_TRUE(std::isnan(value));
}

}  // namespace
}  // namespace sluice::cuda
