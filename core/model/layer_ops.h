// The operations of a layer, as arguments of kernels.
//
//   kernels.LinearForward(Fc2Forward(layer));
//
// With tensor parallelism the caller puts partial sums and own rows in their places
// (standard_layers.cc).
#pragma once

#include "core/kernels/causal_attention/causal_attention.h"
#include "core/kernels/layer_norm/layer_norm.h"
#include "core/kernels/matmul/matmul.h"
#include "core/model/layer.h"

namespace sluice {

// In the order in which they run.
LayerNormForwardArgs AttnLnForward(const LayerForwardArgs& layer);
LinearForwardArgs InProjForward(const LayerForwardArgs& layer);
CausalAttentionForwardArgs AttentionForward(const LayerForwardArgs& layer);
LinearForwardArgs OutProjForward(const LayerForwardArgs& layer);
LayerNormForwardArgs FcLnForward(const LayerForwardArgs& layer);
LinearForwardArgs Fc1Forward(const LayerForwardArgs& layer);
LinearForwardArgs Fc2Forward(const LayerForwardArgs& layer);

// The same, and through the ReLU in front of fc2.
LinearBackwardInputArgs Fc2BackwardInput(const LayerBackwardArgs& layer);
LinearBackwardInputArgs Fc1BackwardInput(const LayerBackwardArgs& layer);
LayerNormBackwardArgs FcLnBackward(const LayerBackwardArgs& layer);
LinearBackwardInputArgs OutProjBackwardInput(const LayerBackwardArgs& layer);
CausalAttentionBackwardArgs AttentionBackward(const LayerBackwardArgs& layer);
LinearBackwardInputArgs InProjBackwardInput(const LayerBackwardArgs& layer);
LayerNormBackwardArgs AttnLnBackward(const LayerBackwardArgs& layer);

// The gradients of the linear layers' parameters.
LinearBackwardWeightArgs Fc2BackwardWeight(const LayerBackwardWeightArgs& layer);
LinearBackwardWeightArgs Fc1BackwardWeight(const LayerBackwardWeightArgs& layer);
LinearBackwardWeightArgs OutProjBackwardWeight(const LayerBackwardWeightArgs& layer);
LinearBackwardWeightArgs InProjBackwardWeight(const LayerBackwardWeightArgs& layer);

// Their part of a backward for which write_modes.linears is given.
LayerBackwardWeightArgs WeightPart(const LayerBackwardArgs& layer);

}  // namespace sluice
