#include "core/base/rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace sluice {
namespace {

TEST(RandomStream, IsAFunctionOfSeedNameAndElement) {
  const RandomStream a(1, "fc1.weight");
  EXPECT_EQ(a.Uniform(7), RandomStream(1, "fc1.weight").Uniform(7));
  EXPECT_NE(a.Uniform(7), a.Uniform(8));
  EXPECT_NE(a.Uniform(7), RandomStream(2, "fc1.weight").Uniform(7));
  EXPECT_NE(a.Uniform(7), RandomStream(1, "fc2.weight").Uniform(7));
}

// Derived by another program from docs/model.md; the uniform ones to the last bit.
TEST(RandomStream, GivesTheDocumentedValues) {
  EXPECT_EQ(RandomStream(0, "layers.0.fc1.weight").Uniform(0), 0.008172807427635043);
  EXPECT_EQ(RandomStream(0, "layers.0.fc1.weight").Uniform(1), 0.41172445468846064);
  EXPECT_EQ(RandomStream(0, "layers.0.attn_ln.bias").Uniform(0), -0.6244848624445054);
  EXPECT_NEAR(RandomStream(0, "input").Normal(0), 2.03172796805787, 1e-14);
  EXPECT_NEAR(RandomStream(0, "input").Normal(1), -0.50977984327159, 1e-14);
}

TEST(RandomStream, FillsWithTheSameBitsAsElementByElement) {
  const RandomStream stream(0x123456789abcdefu, "attn.in_proj.weight");
  // The second range passes an element number of 2^32.
  for (const uint64_t begin : {uint64_t{5}, (uint64_t{1} << 32) - 100}) {
    std::vector<double> values(201, 7.0);
    stream.FillUniform(begin, std::span(values).first(200));
    for (uint64_t i = 0; i < 200; ++i) ASSERT_EQ(values[i], stream.Uniform(begin + i)) << i;
    EXPECT_EQ(values[200], 7.0) << "written past the end";
  }
}

TEST(RandomStream, HasTheMomentsOfItsDistributions) {
  constexpr int kCount = 200000;
  const RandomStream stream(3, "moments");
  double uniform_sum = 0, uniform_squares = 0, normal_sum = 0, normal_squares = 0;
  for (int i = 0; i < kCount; ++i) {
    const double u = stream.Uniform(i);
    ASSERT_GE(u, -1);
    ASSERT_LT(u, 1);
    uniform_sum += u;
    uniform_squares += u * u;
    const double n = stream.Normal(i);
    ASSERT_TRUE(std::isfinite(n));
    normal_sum += n;
    normal_squares += n * n;
  }
  // Five standard errors of each estimate.
  EXPECT_NEAR(uniform_sum / kCount, 0, 5 * std::sqrt(1.0 / 3 / kCount));
  EXPECT_NEAR(uniform_squares / kCount, 1.0 / 3, 5 * std::sqrt(4.0 / 45 / kCount));
  EXPECT_NEAR(normal_sum / kCount, 0, 5 / std::sqrt(kCount));
  EXPECT_NEAR(normal_squares / kCount, 1, 5 * std::sqrt(2.0 / kCount));
}

}  // namespace
}  // namespace sluice
