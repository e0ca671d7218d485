// The tensors of one unit on one rank: their shapes, element types and order in memory.  The one
// place that knows what a layer keeps, so that predicted and allocated bytes cannot differ.
#pragma once

#include <cstdint>

#include "core/kernels/kernels.h"
#include "core/model/layer.h"
#include "parallel/exec/arena.h"
#include "parallel/exec/job.h"

namespace sluice {

// Hands out consecutive tensors of a piece of memory.  With no memory it only counts.
class Carver {
 public:
  explicit Carver(char* base = nullptr) : base_(base) {}

  Tensor Take(DType dtype, const Shape& shape) {
    const Tensor tensor(base_ == nullptr ? nullptr : base_ + size_bytes_, dtype, shape);
    size_bytes_ += AlignUp(tensor.num_bytes());
    return tensor;
  }

  int64_t size_bytes() const { return size_bytes_; }

 private:
  char* base_;
  int64_t size_bytes_ = 0;
};

class UnitLayout {
 public:
  UnitLayout(const JobPlan& plan, const RankCoordinates& rank);

  // What the forward of one layer keeps for its backward, without x, qkv and z.
  LayerActivations Kept(Carver& carver, int slice) const;
  // [own L, B, H]: a layer's input or output.
  Tensor OwnHidden(Carver& carver, int slice) const;
  // [L, B, H]: a gradient of a layer's output, of which own rows come from elsewhere.
  Tensor Hidden(Carver& carver, int slice) const;
  // [own L, B, H] in the accumulator type: the loss's projection.
  Tensor Projection(Carver& carver, int slice) const;
  // [P + T, B, N, 3, D]: queries, keys and values of a layer's micro-batch, with the cached prefix.
  Tensor Qkv(Carver& carver) const;
  // [P + T, B, N, 2, D] in the accumulator type: gradients of keys and values on their way to
  // earlier slices.
  Tensor KeyValueAccumulator(Carver& carver) const;
  // What the backward of one layer leaves for its weights, without dz.
  LayerGradients Gradients(Carver& carver, int slice) const;
  LayerScratch Scratch(Carver& carver, int slice) const;
  // The rank's shards of one layer's parameters, and of their gradients.
  LayerParameterTensors Weights(Carver& carver) const;
  LayerParameterTensors WeightGradients(Carver& carver) const;

  // Bytes that a call of one of the above takes.
  template <typename Function>
  int64_t SizeOfTaken(const Function& take) const {
    Carver carver;
    take(carver);
    return carver.size_bytes();
  }

  // Bytes of qkv that are written by one unit's forward, for one layer.
  int64_t QkvRowsBytes(int slice) const;

  // Gradients of keys and values cross slices where there are several, or a prefix.
  bool needs_key_value_accumulator() const;

  const Slice& slice(int index) const { return plan_.config.slices[static_cast<size_t>(index)]; }
  int longest_slice() const { return longest_slice_; }
  DType storage_type() const { return storage_; }
  DType accumulator_type() const { return accumulator_; }

  // The largest calls of kernels on this rank.
  KernelLimits Limits() const;

 private:
  int64_t own_len(int slice) const;
  LayerParameterTensors Parameters(Carver& carver, DType linear_type) const;

  const JobPlan& plan_;
  ShardIndex shard_;
  DType storage_, accumulator_;
  int64_t batch_size_, hidden_size_, num_heads_, head_dim_, ffn_hidden_size_;
  int longest_slice_ = 0;
};

}  // namespace sluice
