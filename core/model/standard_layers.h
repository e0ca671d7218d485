// The layers of a stage, one operation of Kernels after the other: for any device and any
// tensor-parallel group.
#pragma once

#include <memory>

#include "core/kernels/kernels.h"
#include "core/model/layer_runner.h"
#include "core/model/tensor_parallel.h"

namespace sluice {

class StandardLayers : public LayerRunner {
 public:
  // Both must outlive this.
  StandardLayers(Kernels& kernels, TensorParallel& group);

  void Forward(std::span<const LayerForwardArgs> layers) override;
  void Backward(std::span<const LayerBackwardArgs> layers) override;
  void BackwardWeight(std::span<const LayerBackwardWeightArgs> layers) override;

 private:
  void ForwardLayer(const LayerForwardArgs& layer);
  void BackwardLayer(const LayerBackwardArgs& layer);
  // A layer norm, and the linear layer behind it, which needs the rows of the whole group.
  void NormLinear(const LayerNormForwardArgs& norm, const LinearForwardArgs& linear);
  // out = residual + x weight^T + bias, where each rank of the group holds some columns of weight
  // and of x.
  void RowParallelLinear(const LinearForwardArgs& args, const Tensor& partial);
  // The gradient of the input of in_proj or fc1, whose partial sums are added over the group, and
  // of the layer norm in front.
  void ColumnParallelNormBackward(const LinearBackwardInputArgs& linear,
                                  const LayerNormBackwardArgs& norm, NormSlot slot);

  Kernels& kernels_;
  TensorParallel& group_;
  std::unique_ptr<GradientLane> in_order_;  // where the kernels have no lane
  GradientLane& lane_;
};

}  // namespace sluice
