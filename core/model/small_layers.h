// The layers of a stage on the kernels of small layers (core/kernels/small_layer), for a rank that
// holds whole layers.
//
// In the backward each kernel takes along what is ready and what nobody on the way to the gradient
// of the input waits for: the backward of a layer norm runs on the way into the linear layer that
// reads its result, and gradients of parameters in extra blocks of kernels that have time for them.
// So a layer is five launches in either direction.
#pragma once

#include "core/kernels/small_layer/small_layer_kernels.h"
#include "core/model/small_layer_choice.h"
#include "core/model/standard_layers.h"

namespace sluice {

class SmallLayers : public LayerRunner {
 public:
  // What `choice` leaves out runs on `kernels`.  Both enqueue on the same stream and must outlive
  // this.
  SmallLayers(SmallLayerKernels& small, Kernels& kernels, const SmallLayerChoice& choice);

  void Forward(std::span<const LayerForwardArgs> layers) override;
  void Backward(std::span<const LayerBackwardArgs> layers) override;
  void BackwardWeight(std::span<const LayerBackwardWeightArgs> layers) override;

 private:
  class Chain;

  SmallLayerKernels& small_;
  Kernels& kernels_;
  SmallLayerChoice choice_;
  NoTensorParallel no_group_;
  StandardLayers standard_;
};

// The runner for a stage: SmallLayers where `choice` has a part for it, else StandardLayers.
// `small` may be null where it has none.
std::unique_ptr<LayerRunner> MakeLayerRunner(Kernels& kernels, TensorParallel& group,
                                             SmallLayerKernels* small,
                                             const SmallLayerChoice& choice);

}  // namespace sluice
