// Gradients of parameters beside the rest of a backward: nothing on the way to the gradient of the
// input needs them, so a device with a second stream computes them there.
//
//   GradientLane& lane = ...;
//   lane.LinearBackwardWeight(weight_args);    // on the lane
//   kernels.LinearBackwardInput(input_args);   // beside it
//   lane.Join();
//
// Each call is complete: its work on the lane starts after everything that was enqueued on the
// kernels' stream before the call.  Do not write its operands, or use the gradients of parameters,
// before Join.
#pragma once

#include "core/kernels/layer_norm/layer_norm.h"
#include "core/kernels/matmul/matmul.h"

namespace sluice {

// A piece of the lane's memory, which holds partial sums between a LayerNormBackward and the next
// Join: two layer norms before one Join need two slots.
enum class NormSlot : uint8_t { kFirst, kSecond };
inline constexpr int kNumNormSlots = 2;

class GradientLane {
 public:
  virtual ~GradientLane() = default;

  // On the lane.
  virtual void LinearBackwardWeight(const LinearBackwardWeightArgs& args) = 0;

  // The backward through the ReLU between two linear layers. `behind` is the layer after the ReLU,
  // with a relu_out; its LinearBackwardInput runs on the kernels' stream. `in_front` is the layer
  // before the ReLU, whose dout is behind.dx; its LinearBackwardWeight runs on the lane.  The
  // bias's gradient may be summed in the pass that masks dx.  At most one call before each Join.
  virtual void LinearBackwardThroughRelu(const LinearBackwardInputArgs& behind,
                                         const LinearBackwardWeightArgs& in_front) = 0;

  // dx on the kernels' stream, dweight and dbias on the lane.
  virtual void LayerNormBackward(const LayerNormBackwardArgs& args, NormSlot slot) = 0;

  // What is enqueued on the kernels' stream from now on starts after the calls so far, of which
  // there must be one since the last Join.
  virtual void Join() = 0;
};

}  // namespace sluice
