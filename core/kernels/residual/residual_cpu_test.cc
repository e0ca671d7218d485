// Sums of small integers are exact, and wrong shapes end the program.
#include "core/kernels/residual/residual_cpu.h"

#include <gtest/gtest.h>

#include <vector>

namespace sluice::cpu {
namespace {

Tensor View(std::vector<float>& values, Shape shape) {
  SLUICE_CHECK_EQ(static_cast<int64_t>(values.size()), shape.num_elements());
  return Tensor(values.data(), DType::kFloat32, shape);
}

TEST(AddBiasResidualCpu, AddsBoth) {
  ThreadPool pool(2);
  std::vector<float> x = {1, 2, 3, 4, 5, 6}, bias = {10, 20, 30}, residual(6, 100), out(6);
  AddBiasResidual<float>(pool, {.x = View(x, {2, 3}),
                                .bias = View(bias, {3}),
                                .residual = View(residual, {2, 3}),
                                .out = View(out, {2, 3})});
  EXPECT_EQ(out, (std::vector<float>{111, 122, 133, 114, 125, 136}));
}

TEST(AddBiasResidualCpuDeathTest, ChecksShapes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ThreadPool pool(1);
  std::vector<float> x(6), bias(3), residual(5);
  const auto add = [&](Tensor bias_view, Tensor residual_view) {
    AddBiasResidual<float>(pool, {.x = View(x, {2, 3}),
                                  .bias = bias_view,
                                  .residual = residual_view,
                                  .out = View(x, {2, 3})});
  };
  EXPECT_DEATH(add(View(bias, {3}), View(residual, {5})), "residual");
  EXPECT_DEATH(add(View(residual, {5}), View(x, {2, 3})), "num_tokens");
}

}  // namespace
}  // namespace sluice::cpu
