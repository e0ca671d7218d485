#include "core/tensor/convert.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace sluice {
namespace {

// Every element type keeps what it can represent, and rounds the rest to nearest even.
TEST(Convert, RoundTripsAndRounds) {
  const std::vector<double> values = {0, 1, -2.5, 1 + 0x1p-8, 1 + 3 * 0x1p-8, INFINITY};
  std::vector<double> back(values.size());
  for (const DType dtype : {DType::kFloat64, DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    std::vector<double> storage(values.size());
    const Tensor host(storage.data(), dtype, {static_cast<int64_t>(values.size())});
    ConvertFrom(host, std::span<const double>(values));
    ConvertTo(back, host);
    if (dtype == DType::kBFloat16) {
      EXPECT_EQ(back, (std::vector<double>{0, 1, -2.5, 1, 1 + 0x1p-6, INFINITY}));
    } else {
      EXPECT_EQ(back, values) << Name(dtype);
    }
  }
}

TEST(Convert, KeepsNan) {
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    double storage = 0;
    double value = NAN;
    const Tensor host(&storage, dtype, {1});
    ConvertFrom(host, std::span<const double>(&value, 1));
    value = 0;
    ConvertTo(std::span<double>(&value, 1), host);
    EXPECT_TRUE(std::isnan(value)) << Name(dtype);
  }
}

}  // namespace
}  // namespace sluice
