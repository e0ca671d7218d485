#include "core/model/standard_layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/model/stage_for_test.h"

namespace sluice {
namespace {

using testing::ElementsAre;

// Does at once what a second stream would do until Join, and logs it.
class LoggedLane : public GradientLane {
 public:
  LoggedLane(CpuKernels& kernels, std::vector<std::string>& log) : kernels_(kernels), log_(log) {}

  void LinearBackwardWeight(const LinearBackwardWeightArgs& args) override {
    log_.emplace_back("lane: linear dw");
    kernels_.CpuKernels::LinearBackwardWeight(args);
  }
  void LinearBackwardThroughRelu(const LinearBackwardInputArgs& behind,
                                 const LinearBackwardWeightArgs& in_front) override {
    log_.emplace_back("lane: through relu");
    kernels_.CpuKernels::LinearBackwardInput(behind);
    kernels_.CpuKernels::LinearBackwardWeight(in_front);
  }
  void LayerNormBackward(const LayerNormBackwardArgs& args, NormSlot slot) override {
    log_.emplace_back(slot == NormSlot::kFirst ? "lane: first norm" : "lane: second norm");
    kernels_.CpuKernels::LayerNormBackward(args);
  }
  void Join() override { log_.emplace_back("lane: join"); }

 private:
  CpuKernels& kernels_;
  std::vector<std::string>& log_;
};

class KernelsWithLane : public LoggedKernels {
 public:
  KernelsWithLane(CpuDevice& device, std::vector<std::string>& log)
      : LoggedKernels(device, log), lane_(*this, log) {}

  GradientLane* gradient_lane() override { return &lane_; }

 private:
  LoggedLane lane_;
};

class StandardLayersTest : public testing::Test {
 protected:
  // What a backward of one layer calls, after its forward.
  std::vector<std::string> Backward(Kernels& kernels, StageForTest& stage,
                                    std::optional<WriteMode> linears) {
    kernels.Reserve(StageForTest::Limits());
    StandardLayers layers(kernels, group_);
    layers.Forward(stage.ForwardArgs());
    log_.clear();
    layers.Backward(stage.BackwardArgs(linears));
    return log_;
  }

  CpuDevice device_{{.num_threads = 1}};
  NoTensorParallel group_;
  std::vector<std::string> log_;
};

TEST_F(StandardLayersTest, MakesGradientsOfParametersOnTheLaneAndJoinsIt) {
  KernelsWithLane kernels(device_, log_);
  StageForTest stage(1);
  EXPECT_THAT(
      Backward(kernels, stage, WriteMode::kOverwrite),
      ElementsAre("lane: linear dw", "lane: through relu", "kernels: linear dx", "lane: first norm",
                  "lane: linear dw", "kernels: linear dx", "kernels: attention", "lane: linear dw",
                  "kernels: linear dx", "lane: second norm", "lane: join"));
}

TEST_F(StandardLayersTest, LeavesWeightsToBackwardWeight) {
  KernelsWithLane kernels(device_, log_);
  StageForTest stage(1);
  EXPECT_THAT(Backward(kernels, stage, std::nullopt),
              ElementsAre("kernels: linear dx", "kernels: linear dx", "lane: first norm",
                          "kernels: linear dx", "kernels: attention", "kernels: linear dx",
                          "lane: second norm", "lane: join"));
}

TEST_F(StandardLayersTest, GivesTheSameBitsWithoutALane) {
  StageForTest with_lane(2), without(2);
  KernelsWithLane lane_kernels(device_, log_);
  LoggedKernels kernels(device_, log_);
  Backward(lane_kernels, with_lane, WriteMode::kAccumulate);
  Backward(kernels, without, WriteMode::kAccumulate);
  EXPECT_EQ(with_lane.Values(), without.Values());
}

}  // namespace
}  // namespace sluice
