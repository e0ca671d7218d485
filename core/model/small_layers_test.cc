#include "core/model/small_layers.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/model/stage_for_test.h"

namespace sluice {
namespace {

using testing::ElementsAre;

constexpr SmallLayerChoice kAll = {
    .forward = true, .forward_attention = true, .backward = true, .backward_attention = true};
constexpr SmallLayerChoice kPlainAttention = {.forward = true, .backward = true};

// The contract of SmallLayerKernels by the operations of the CPU, and a log of its launches.
class FakeSmallLayer : public SmallLayerKernels {
 public:
  FakeSmallLayer(CpuKernels& kernels, std::vector<std::string>& log)
      : kernels_(kernels), log_(log) {}

  SmallLayerDevice device() const override { return {}; }

  void LinearForward(const LinearForwardArgs& args) override {
    log_.emplace_back("linear");
    kernels_.LinearForward(args);
  }
  void NormLinearForward(const LayerNormForwardArgs& norm,
                         const LinearForwardArgs& linear) override {
    log_.emplace_back("norm+linear");
    kernels_.LayerNormForward(norm);
    kernels_.LinearForward(linear);
  }
  void AttentionForward(const CausalAttentionForwardArgs& args) override {
    log_.emplace_back("attention");
    kernels_.CausalAttentionForward(args);
  }
  void InputGradient(const SmallInputGradientArgs& args, ChainPlace place) override {
    Log(args.norm ? "norm+dx" : "dx", args.weights, place);
    if (args.norm) kernels_.CpuKernels::LayerNormBackward(*args.norm);
    MakeWeights(args.weights);
    kernels_.CpuKernels::LinearBackwardInput(args.linear);
  }
  void AttentionGradient(const CausalAttentionBackwardArgs& args, PiggybackedWeights weights,
                         ChainPlace place) override {
    Log("attention dx", weights, place);
    MakeWeights(weights);
    kernels_.CpuKernels::CausalAttentionBackward(args);
  }
  void WeightGradients(PiggybackedWeights weights, ChainPlace place) override {
    if (weights.empty()) return;
    Log("weights", weights, place);
    MakeWeights(weights);
  }

 private:
  void Log(std::string_view what, PiggybackedWeights weights, ChainPlace place) {
    log_.push_back(fmt::format("{}{} with {} weights", place == ChainPlace::kFirst ? "first: " : "",
                               what, weights.size()));
  }
  void MakeWeights(PiggybackedWeights weights) {
    for (const auto& args : weights) kernels_.CpuKernels::LinearBackwardWeight(args);
  }

  CpuKernels& kernels_;
  std::vector<std::string>& log_;
};

class SmallLayersTest : public testing::Test {
 protected:
  SmallLayersTest() { kernels_.Reserve(StageForTest::Limits()); }

  CpuDevice device_{{.num_threads = 1}};
  std::vector<std::string> log_;
  LoggedKernels kernels_{device_, log_};
  FakeSmallLayer small_{kernels_, log_};
  NoTensorParallel group_;
};

// Whatever is left to a later launch is made from the operands of its own layer.
TEST_F(SmallLayersTest, GivesTheBitsOfStandardLayers) {
  for (const SmallLayerChoice& choice :
       {kAll, kPlainAttention, SmallLayerChoice{.forward = true},
        SmallLayerChoice{.backward = true, .backward_attention = true}}) {
    for (const std::optional<WriteMode> linears :
         {std::optional<WriteMode>(), std::optional(WriteMode::kOverwrite),
          std::optional(WriteMode::kAccumulate)}) {
      StageForTest small_stage(3), standard_stage(3);
      SmallLayers small(small_, kernels_, choice);
      StandardLayers standard(kernels_, group_);
      for (const auto& [runner, stage] :
           {std::pair<LayerRunner*, StageForTest*>(&small, &small_stage),
            std::pair<LayerRunner*, StageForTest*>(&standard, &standard_stage)}) {
        runner->Forward(stage->ForwardArgs());
        runner->Backward(stage->BackwardArgs(linears));
      }
      EXPECT_EQ(small_stage.Values(), standard_stage.Values()) << Name(choice);
    }
  }
}

TEST_F(SmallLayersTest, LaunchesFiveKernelsALayerForward) {
  StageForTest stage(2);
  SmallLayers(small_, kernels_, kAll).Forward(stage.ForwardArgs());
  EXPECT_THAT(log_, ElementsAre("norm+linear", "attention", "linear", "norm+linear", "linear",
                                "norm+linear", "attention", "linear", "norm+linear", "linear"));
}

TEST_F(SmallLayersTest, LaunchesFiveKernelsALayerBackward) {
  StageForTest stage(2);
  SmallLayers(small_, kernels_, kAll).Backward(stage.BackwardArgs(WriteMode::kOverwrite));
  EXPECT_THAT(log_,
              ElementsAre("first: dx with 0 weights", "dx with 0 weights", "norm+dx with 0 weights",
                          "attention dx with 3 weights", "dx with 0 weights",
                          // The layer in front takes what is left of the one behind.
                          "norm+dx with 0 weights", "dx with 1 weights", "norm+dx with 0 weights",
                          "attention dx with 3 weights", "dx with 0 weights",
                          // And what is left of the last.
                          "kernels: norm", "weights with 1 weights"));
}

TEST_F(SmallLayersTest, MakesAllGradientsOfALayerBeforeAnAttentionThatTakesNone) {
  StageForTest stage(1);
  SmallLayers(small_, kernels_, kPlainAttention)
      .Backward(stage.BackwardArgs(WriteMode::kOverwrite));
  EXPECT_THAT(
      log_, ElementsAre("first: dx with 0 weights", "dx with 0 weights", "norm+dx with 0 weights",
                        "weights with 3 weights", "kernels: attention", "first: dx with 0 weights",
                        "kernels: norm", "weights with 1 weights"));
}

TEST_F(SmallLayersTest, LeavesWeightsToBackwardWeight) {
  StageForTest stage(1);
  SmallLayers layers(small_, kernels_, kAll);
  layers.Backward(stage.BackwardArgs(std::nullopt));
  EXPECT_THAT(log_,
              ElementsAre("first: dx with 0 weights", "dx with 0 weights", "norm+dx with 0 weights",
                          "attention dx with 0 weights", "dx with 0 weights", "kernels: norm"));
  log_.clear();
  layers.BackwardWeight(stage.BackwardWeightArgs());
  EXPECT_EQ(log_, std::vector<std::string>(4, "kernels: linear dw"));
}

TEST_F(SmallLayersTest, AreMadeOnlyWhereTheChoiceHasAPartForThem) {
  const auto runner = [&](const SmallLayerChoice& choice) {
    return MakeLayerRunner(kernels_, group_, &small_, choice);
  };
  EXPECT_NE(dynamic_cast<StandardLayers*>(runner({}).get()), nullptr);
  EXPECT_NE(dynamic_cast<SmallLayers*>(runner({.forward = true}).get()), nullptr);
  EXPECT_NE(dynamic_cast<SmallLayers*>(runner({.backward = true}).get()), nullptr);
}

}  // namespace
}  // namespace sluice
