// The backward of the layers of small models on Hopper in few kernels (input_gradient.h,
// attention_gradient.h), behind the contracts of matmul.h, layer_norm.h and causal_attention.h.
//
//   SmallBackward small(device, stream);
//   small.Reserve(limits);
//   if (small.TakesWeight(args)) small.WeightGradient(args);            // remembered
//   if (small.TakesInput(args, norm)) small.InputGradient(args, norm);  // makes both
//   small.Finish();
//
// Gradients of parameters ride: they are remembered and made beside a later gradient, in extra
// blocks of its kernel.  A layer norm's are sums over tiles of rows, made by the kernel after that
// of the norm.  Nothing rides past Finish.
//
// The kernels from one Finish to the next are a chain (riding_gradients.h): what the forward has
// left for them, and the weights, must have been enqueued before the first of them.
#pragma once

#include <array>
#include <cstdint>

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

  // The partial gradients of layer norms for this many tokens.
  struct Limits {
    int64_t max_tokens = 0;
    int64_t hidden_size = 0;
  };
  static int64_t WorkspaceBytes(const Limits& limits);
  void Reserve(const Limits& limits);

  // Whether these calls are small enough to gain, and the GPU and the shapes allow them.
  bool TakesInput(const LinearBackwardInputArgs& args) const;
  // `norm` is the layer norm in front of the linear layer; its dout is args.dx.
  bool TakesInput(const LinearBackwardInputArgs& args, const LayerNormBackwardArgs& norm) const;
  bool TakesWeight(const LinearBackwardWeightArgs& args) const;
  bool TakesAttention(const CausalAttentionBackwardArgs& args) const;

  // Enqueues the gradient of the input.  Its kernel is the shortest of all: of what rides, the sums
  // of a layer norm alone come along.
  void InputGradient(const LinearBackwardInputArgs& args);
  // The same and the backward of the layer norm.  args.dx is not written.
  void InputGradient(const LinearBackwardInputArgs& args, const LayerNormBackwardArgs& norm);

  // Enqueues the backward of attention, with what rides.
  void AttentionGradient(const CausalAttentionBackwardArgs& args);

  // Remembers the gradients: the operands must not be written before FinishWeights.
  void WeightGradient(const LinearBackwardWeightArgs& args);

  // Enqueues what still rides: gradients of linear layers, or those of layer norms as well.
  void FinishWeights();
  void Finish();

 private:
  bool Takes(InputGradientKind kind, const LinearBackwardInputArgs& args) const;
  void EnqueueRiding();
  ChainPlace NextPlace();
  template <typename T>
  RidingGradients<T> TakeRiding();
  template <typename T>
  RidingGradients<T> TakeRidingNorm();

  CudaDevice& device_;
  CudaStream& stream_;
  int max_shared_bytes_ = 0;  // of a block; 0 where the kernels do not run
  std::array<LinearBackwardWeightArgs, kMaxRidingWeights> weights_;
  int num_weights_ = 0;
  NormSums norm_;  // hidden_size 0: none
  LaunchStart next_start_ = LaunchStart::kAfterPrevious;
  DType dtype_ = DType::kBFloat16;  // of what rides
  Buffer partials_;                 // of two norms in turn: one may still ride
  int64_t partials_bytes_ = 0;
  int turn_ = 0;
};

}  // namespace sluice::cuda
