// A stage of small layers on the CPU, with the memory of one unit, for tests of what runs layers.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "core/device/cpu/cpu_device.h"
#include "core/kernels/cpu_kernels.h"
#include "core/model/layer.h"

namespace sluice {

// Kernels whose calls that a test looks for are logged.
class LoggedKernels : public CpuKernels {
 public:
  LoggedKernels(CpuDevice& device, std::vector<std::string>& log)
      : CpuKernels(device, DType::kFloat64), log_(log) {}

  void LinearBackwardInput(const LinearBackwardInputArgs& args) override {
    log_.emplace_back("kernels: linear dx");
    CpuKernels::LinearBackwardInput(args);
  }
  void LinearBackwardWeight(const LinearBackwardWeightArgs& args) override {
    log_.emplace_back("kernels: linear dw");
    CpuKernels::LinearBackwardWeight(args);
  }
  void LayerNormBackward(const LayerNormBackwardArgs& args) override {
    log_.emplace_back("kernels: norm");
    CpuKernels::LayerNormBackward(args);
  }
  void CausalAttentionBackward(const CausalAttentionBackwardArgs& args) override {
    log_.emplace_back("kernels: attention");
    CpuKernels::CausalAttentionBackward(args);
  }

 private:
  std::vector<std::string>& log_;
};

// Random values everywhere.  As in a rank's memory, one layer's gradients of activations are
// overwritten by those of the next, and gradients of layers' outputs alternate between two places.
class StageForTest {
 public:
  explicit StageForTest(int num_layers);

  static KernelLimits Limits();

  std::vector<LayerForwardArgs> ForwardArgs() const;
  std::vector<LayerBackwardArgs> BackwardArgs(std::optional<WriteMode> linears) const;
  std::vector<LayerBackwardWeightArgs> BackwardWeightArgs() const;

  // All that its memory holds.
  std::vector<double> Values() const;

 private:
  Tensor Take(const Shape& shape);
  LayerParameterTensors TakeParameters();

  std::deque<std::vector<double>> memory_;
  std::vector<LayerParameterTensors> weights_, weight_gradients_;
  std::vector<LayerActivations> activations_;
  LayerGradients gradients_;
  LayerScratch scratch_;
  std::vector<Tensor> output_gradients_;  // of the stage's input, and of each layer's output
};

}  // namespace sluice
