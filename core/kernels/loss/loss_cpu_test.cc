// Losses of small integers are exact, and wrong shapes end the program.
#include "core/kernels/loss/loss_cpu.h"

#include <gtest/gtest.h>

#include <vector>

namespace sluice::cpu {
namespace {

Tensor View(std::vector<float>& values, Shape shape) {
  SLUICE_CHECK_EQ(static_cast<int64_t>(values.size()), shape.num_elements());
  return Tensor(values.data(), DType::kFloat32, shape);
}

TEST(LossCpu, MeanAndProjection) {
  std::vector<float> z = {1, 2, 3, 6}, r = {1, 0, -1, 2}, loss = {100};
  LossForward<float>({.z = View(z, {2, 2}), .scale = 0.25, .loss = View(loss, {1})});
  EXPECT_EQ(loss[0], 3);
  LossForward<float>({.z = View(z, {2, 2}),
                      .r = View(r, {2, 2}),
                      .scale = 0.25,
                      .loss = View(loss, {1}),
                      .write_mode = WriteMode::kAccumulate});
  EXPECT_EQ(loss[0], 3 + 2.5f);
}

TEST(LossCpu, Gradients) {
  ThreadPool pool(2);
  std::vector<float> r = {1, 0, -1, 2}, dz(4);
  LossBackward<float>(pool, {.scale = 0.25, .dz = View(dz, {2, 2})});
  EXPECT_EQ(dz, (std::vector<float>{0.25f, 0.25f, 0.25f, 0.25f}));
  LossBackward<float>(pool, {.r = View(r, {2, 2}), .scale = 0.25, .dz = View(dz, {2, 2})});
  EXPECT_EQ(dz, (std::vector<float>{0.25f, 0, -0.25f, 0.5f}));
}

// Twenty million ones: a float32 sum in order would stop growing at 2^24.
TEST(LossCpu, SumsManyElementsInFloat64) {
  std::vector<float> z(20'000'000, 1.0f), loss(1);
  LossForward<float>({.z = View(z, {20'000'000, 1}), .loss = View(loss, {1})});
  EXPECT_EQ(loss[0], 20'000'000.0f);
}

TEST(LossCpuDeathTest, ChecksShapes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  std::vector<float> z(4), r(3), loss(1);
  EXPECT_DEATH(
      LossForward<float>({.z = View(z, {2, 2}), .r = View(r, {3}), .loss = View(loss, {1})}),
      "num_elements");
}

}  // namespace
}  // namespace sluice::cpu
