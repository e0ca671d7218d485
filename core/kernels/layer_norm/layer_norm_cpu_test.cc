// What needs no bound: a case by hand, determinism, and wrong shapes.  Rounding errors are held
// against derived bounds in correctness/kernels.
#include "core/kernels/layer_norm/layer_norm_cpu.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace sluice::cpu {
namespace {

Tensor View(std::vector<double>& values, Shape shape) {
  SLUICE_CHECK_EQ(static_cast<int64_t>(values.size()), shape.num_elements());
  return Tensor(values.data(), DType::kFloat64, shape);
}

TEST(LayerNormCpu, ByHand) {
  ThreadPool pool(2);
  std::vector<double> x = {1, 3, -5, 5}, weight = {2, 10}, bias = {0.5, -1};
  std::vector<double> out(4), mean(2), rstd(2);
  LayerNormForward<double>(pool, {.x = View(x, {2, 2}),
                                  .weight = View(weight, {2}),
                                  .bias = View(bias, {2}),
                                  .out = View(out, {2, 2}),
                                  .mean = View(mean, {2}),
                                  .rstd = View(rstd, {2})});
  EXPECT_EQ(mean, (std::vector<double>{2, 0}));
  EXPECT_DOUBLE_EQ(rstd[0], 1 / std::sqrt(1 + 1e-5));
  EXPECT_DOUBLE_EQ(rstd[1], 1 / std::sqrt(25 + 1e-5));
  EXPECT_DOUBLE_EQ(out[0], -rstd[0] * 2 + 0.5);
  EXPECT_DOUBLE_EQ(out[3], 5 * rstd[1] * 10 - 1);
}

// Sums over tokens in the order that the header fixes, however the threads are scheduled.
TEST(LayerNormCpu, BackwardIsDeterministic) {
  constexpr int64_t kTokens = 50, kHidden = 33;
  ThreadPool pool(3);
  std::vector<double> x, dout, first;
  for (int64_t i = 0; i < kTokens * kHidden; ++i) {
    x.push_back(std::sin(static_cast<double>(i)));
    dout.push_back(std::cos(static_cast<double>(3 * i)));
  }
  std::vector<double> weight(kHidden, 1.5), mean(kTokens), rstd(kTokens, 1.25);
  std::vector<double> partials(3 * 2 * kHidden);
  for (int repeat = 0; repeat < 20; ++repeat) {
    std::vector<double> dx(x.size()), dweight(kHidden), dbias(kHidden);
    LayerNormBackward<double>(pool,
                              {.dout = View(dout, {kTokens, kHidden}),
                               .x = View(x, {kTokens, kHidden}),
                               .weight = View(weight, {kHidden}),
                               .mean = View(mean, {kTokens}),
                               .rstd = View(rstd, {kTokens}),
                               .dx = View(dx, {kTokens, kHidden}),
                               .dweight = View(dweight, {kHidden}),
                               .dbias = View(dbias, {kHidden})},
                              partials.data());
    if (repeat == 0) first = dweight;
    EXPECT_EQ(dweight, first);
  }
}

TEST(LayerNormCpuDeathTest, ChecksShapes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ThreadPool pool(1);
  std::vector<double> x(6), weight(3), out(5), mean(2);
  EXPECT_DEATH(LayerNormForward<double>(pool, {.x = View(x, {2, 3}),
                                               .weight = View(weight, {3}),
                                               .bias = View(weight, {3}),
                                               .out = View(out, {5}),
                                               .mean = View(mean, {2}),
                                               .rstd = View(mean, {2})}),
               "out");
}

}  // namespace
}  // namespace sluice::cpu
