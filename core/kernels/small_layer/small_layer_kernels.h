// The operations of a layer that is so small that the latency of dependent kernels dominates: each
// is one launch, which may take along what the plain kernels would do in launches of their own.
//
// core/model/small_layers.h runs the layers of a stage on these; small_layer_sizes.h says for which
// sizes there are kernels.  All calls enqueue on the stream that the kernels were made with, and
// allocate nothing.
#pragma once

#include <optional>
#include <span>

#include "core/kernels/causal_attention/causal_attention.h"
#include "core/kernels/layer_norm/layer_norm.h"
#include "core/kernels/matmul/matmul.h"

namespace sluice {

// A device, as far as the choice of kernels depends on it.
struct SmallLayerDevice {
  DType dtype = DType::kFloat32;     // of activations
  int compute_capability = 0;        // 90 for 9.0
  int64_t max_shared_bytes = 0;      // of a block
  bool has_small_attention = false;  // false where another implementation was requested
};

// The kernels of a backward are a chain: each is launched before the one ahead has ended, and
// first loads what was there before the chain, which is weights and what the forward has left.
// kFirst waits for all that was enqueued before; so must a kernel that follows another operation
// whose results a later one of the chain reads.
enum class ChainPlace : uint8_t { kFirst, kInside };

// Gradients of linear layers' parameters that a kernel makes in extra blocks.  Their operands must
// come from earlier kernels.
using PiggybackedWeights = std::span<const LinearBackwardWeightArgs>;
inline constexpr int kMaxPiggybackedWeights = 4;

// The gradient of the input of a linear layer.
//
//   norm     the layer norm whose dx is linear.dout: its backward runs on the way into the product,
//            and writes dx, dweight and dbias.  Its dx is neither its dout nor its
//            residual_gradient.  Absent: linear.dout is read.
//   weights  gradients that are made beside it
struct SmallInputGradientArgs {
  LinearBackwardInputArgs linear;
  std::optional<LayerNormBackwardArgs> norm;
  PiggybackedWeights weights;
};

class SmallLayerKernels {
 public:
  virtual ~SmallLayerKernels() = default;

  virtual SmallLayerDevice device() const = 0;

  virtual void LinearForward(const LinearForwardArgs& args) = 0;
  // `norm`, then `linear`: linear.x is norm.out, and norm.out is not norm.x.
  virtual void NormLinearForward(const LayerNormForwardArgs& norm,
                                 const LinearForwardArgs& linear) = 0;
  virtual void AttentionForward(const CausalAttentionForwardArgs& args) = 0;

  virtual void InputGradient(const SmallInputGradientArgs& args, ChainPlace place) = 0;
  virtual void AttentionGradient(const CausalAttentionBackwardArgs& args,
                                 PiggybackedWeights weights, ChainPlace place) = 0;
  // `weights` in a kernel of their own; nothing where there are none.
  virtual void WeightGradients(PiggybackedWeights weights, ChainPlace place) = 0;
};

}  // namespace sluice
