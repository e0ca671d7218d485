// The backward of the layers of small models on Hopper in few kernels (input_gradient.h,
// attention_gradient.h), behind the contracts of matmul.h, layer_norm.h and causal_attention.h.
//
//   SmallBackward small(device, stream);
//   small.Reserve(hidden_size);
//   if (small.TakesWeight(args)) small.WeightGradient(args);            // remembered
//   if (small.TakesInput(args, norm)) small.InputGradient(args, norm);  // the norm is remembered
//   small.Finish();
//
// Gradients of parameters ride: they are remembered and made beside a later gradient, in extra
// blocks of its kernel.  The backward of a layer norm waits for the linear layer whose dout it
// makes, and becomes a part of its kernel.  Nothing rides or waits past Finish.
//
// The kernels from one Finish to the next are a chain (riding_gradients.h): what the forward has
// left for them, and the weights, must have been enqueued before the first of them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "core/device/cuda/cuda_device.h"
#include "core/kernels/causal_attention/causal_attention.h"
#include "core/kernels/layer_norm/layer_norm.h"
#include "core/kernels/matmul/matmul.h"
#include "core/kernels/small_backward/input_gradient.h"

namespace sluice::cuda {

class SmallBackward {
 public:
  // Both must outlive this.
  SmallBackward(CudaDevice& device, CudaStream& stream);

  // For layer norms that nobody takes along.
  static int64_t WorkspaceBytes(int64_t hidden_size);
  void Reserve(int64_t hidden_size);

  // Whether these calls are small enough to gain, and the GPU and the shapes allow them.
  bool TakesInput(const LinearBackwardInputArgs& args) const;
  // `norm` is the layer norm in front of the linear layer; its dout is args.dx.
  bool TakesInput(const LinearBackwardInputArgs& args, const LayerNormBackwardArgs& norm) const;
  bool TakesWeight(const LinearBackwardWeightArgs& args) const;
  bool TakesAttention(const CausalAttentionBackwardArgs& args) const;

  // Enqueues the gradient of the input, and of the layer norm that waits to make args.dout.  Its
  // kernel is short: of what rides, the sums of that norm alone come along.
  void InputGradient(const LinearBackwardInputArgs& args);
  // The same with gradients from before EndLayer, and then remembers `norm`: nobody may read
  // norm.dx or write its operands before the next InputGradient or FinishEarlier.
  void InputGradient(const LinearBackwardInputArgs& args, const LayerNormBackwardArgs& norm);

  // Enqueues the backward of attention, with what rides.
  void AttentionGradient(const CausalAttentionBackwardArgs& args);

  // Remembers the gradients.
  void WeightGradient(const LinearBackwardWeightArgs& args);

  // Gradients remembered so far ride on the next kernel that has time for them: attention takes
  // those of its own layer, an InputGradient with a norm those of the layer before.  Their operands
  // must not be written before the next attention.
  void EndLayer();

  // Enqueue what waits: the backward of a layer norm and gradients from before EndLayer, before
  // anybody else's kernel that may read or write their tensors; or all.
  void FinishEarlier();
  void Finish();

 private:
  bool WaitsFor(const Tensor& dout) const;
  void FinishNorm();
  void FinishWeights(int count);
  ChainPlace NextPlace();
  template <typename T>
  void LaunchInput(const LinearBackwardInputArgs& args, RidingGradients<T> riding);
  template <typename T>
  RidingGradients<T> TakeWeights(int count);  // the first

  CudaDevice& device_;
  CudaStream& stream_;
  int max_shared_bytes_ = 0;  // of a block; 0 where the kernels do not run
  std::array<LinearBackwardWeightArgs, kMaxRidingWeights> weights_;
  int num_weights_ = 0;
  int num_earlier_weights_ = 0;                // the first of them: from before EndLayer
  std::optional<LayerNormBackwardArgs> norm_;  // that waits
  LaunchStart next_start_ = LaunchStart::kAfterPrevious;
  DType dtype_ = DType::kBFloat16;  // of what rides
  Buffer norm_scratch_;
};

}  // namespace sluice::cuda
