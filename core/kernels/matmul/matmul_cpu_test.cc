// What needs no bound: products of small integers are exact, and wrong shapes end the program.
// Rounding errors are held against derived bounds in correctness/kernels.
#include "core/kernels/matmul/matmul_cpu.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/reference/ops.h"

namespace sluice::cpu {
namespace {

std::vector<float> Integers(int64_t size, int64_t step) {
  std::vector<float> values;
  for (int64_t i = 0; i < size; ++i) values.push_back(static_cast<float>(i * step % 7 - 3));
  return values;
}

reference::Values Exact(const std::vector<float>& values) { return {values.begin(), values.end()}; }

Tensor View(std::vector<float>& values, Shape shape) {
  SLUICE_CHECK_EQ(static_cast<int64_t>(values.size()), shape.num_elements());
  return Tensor(values.data(), DType::kFloat32, shape);
}

TEST(MatMulCpu, IsExactOnSmallIntegersForAnyNumberOfThreads) {
  const reference::LinearShape shape = {37, 70, 100};
  std::vector<float> x = Integers(37 * 70, 3), weight = Integers(100 * 70, 5);
  std::vector<float> bias = Integers(100, 2), dout = Integers(37 * 100, 4);
  const reference::Values out_exact = Linear(shape, Exact(x), Exact(weight), Exact(bias));
  const reference::LinearGradients gradients =
      LinearBackward(shape, Exact(x), Exact(weight), Exact(dout));
  for (const int num_threads : {1, 2, 3, 5}) {
    ThreadPool pool(num_threads);
    std::vector<float> out(37 * 100), dx(37 * 70), dweight(100 * 70), dbias(100);
    LinearForward<float>(pool, {.x = View(x, {37, 70}),
                                .weight = View(weight, {100, 70}),
                                .bias = View(bias, {100}),
                                .out = View(out, {37, 100})});
    LinearBackwardInput<float>(pool, {.dout = View(dout, {37, 100}),
                                      .weight = View(weight, {100, 70}),
                                      .dx = View(dx, {37, 70})});
    LinearBackwardWeight<float>(pool, {.dout = View(dout, {37, 100}),
                                       .x = View(x, {37, 70}),
                                       .dweight = View(dweight, {100, 70}),
                                       .dbias = View(dbias, {100})});
    EXPECT_EQ(Exact(out), out_exact);
    EXPECT_EQ(Exact(dx), gradients.x);
    EXPECT_EQ(Exact(dweight), gradients.weight);
    EXPECT_EQ(Exact(dbias), gradients.bias);
  }
}

TEST(MatMulCpuDeathTest, ChecksShapesAndElementTypes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ThreadPool pool(1);
  std::vector<float> x(6), weight(12), out(7), good_out(8);
  const auto forward = [&](Tensor x_view, Tensor out_view, Tensor residual) {
    LinearForward<float>(pool, {.x = x_view,
                                .weight = View(weight, {4, 3}),
                                .residual = residual,
                                .out = out_view,
                                .activation = Activation::kRelu});
  };
  EXPECT_DEATH(forward(View(x, {2, 3}), View(out, {7}), {}), "out");
  EXPECT_DEATH(forward(View(out, {7}), View(good_out, {2, 4}), {}), "num_features");
  EXPECT_DEATH(forward(View(x, {2, 3}), View(good_out, {2, 4}), View(good_out, {2, 4})),
               "residual");
  EXPECT_DEATH(forward(Tensor(x.data(), DType::kFloat64, {2, 3}), View(good_out, {2, 4}), {}),
               "f64");
}

}  // namespace
}  // namespace sluice::cpu
