// The number of floating-point operations of a step: the numerator of every printed rate
// (docs/metrics.md).
//
// A multiply-add is two operations. The count includes the four linear layers and causal attention
// over the keys that each query sees. It excludes layer norms, softmax, biases and the loss, which
// are negligible. It is exact for any slice behind any prefix: the counts of the slices of a
// sequence add up to that of the sequence.
//
// The count is that of the mathematics, not of a kernel. The backward of attention has four
// products and the forward two, so a backward takes twice as many operations as its forward.
// Recomputed scores (2205.14135 counts them as a fifth product) and recomputed activations are not
// counted.
//
// All functions throw Error if a count does not fit 64 bits.
#pragma once

#include <cstdint>

#include "core/model/model_config.h"
#include "parallel/schedule/slices.h"

namespace sluice {

struct LinearSize {
  int64_t num_tokens = 0;
  int64_t in_features = 0;
  int64_t out_features = 0;
};

// The operations of each of: forward, gradient of the input, gradient of the weight.
int64_t LinearFlops(const LinearSize& size);

// The query-key pairs of one sequence and one head: each query of the slice with the whole prefix,
// itself, and the queries before it.
int64_t NumVisiblePairs(const Slice& slice);

struct AttentionSize {
  int64_t batch_size = 0;
  int64_t num_heads = 0;
  int64_t head_dim = 0;
};

// Two products in the forward, scores and values; four in the backward, the gradients of
// probabilities, values, queries and keys.
int64_t CausalAttentionForwardFlops(const AttentionSize& size, const Slice& slice);
int64_t CausalAttentionBackwardFlops(const AttentionSize& size, const Slice& slice);

// The operations of config.num_layers layers for `slice` of `batch_size` sequences; for a stage,
// set num_layers to the stage's.  A whole sequence is the slice {0, config.seq_len}.  The gradient
// of the input includes the whole backward of attention, which has no weights.
int64_t ForwardFlops(const ModelConfig& config, int64_t batch_size, const Slice& slice);
int64_t BackwardInputFlops(const ModelConfig& config, int64_t batch_size, const Slice& slice);
int64_t BackwardWeightFlops(const ModelConfig& config, int64_t batch_size, const Slice& slice);

// BackwardInputFlops + BackwardWeightFlops.
int64_t BackwardFlops(const ModelConfig& config, int64_t batch_size, const Slice& slice);

// Forward and backward of whole sequences behind `prefix_len` cached positions.  A step does not
// differentiate with respect to these, so two of the backward's products, the gradients of keys and
// values, are needed for the sequence's own positions alone.
int64_t StepFlops(const ModelConfig& config, int64_t batch_size, int64_t prefix_len);

}  // namespace sluice
