// The tensors of one unit on one rank: their shapes, element types and order in memory. Bytes are
// predicted and tensors are placed from the same layout, so that the two cannot differ.
#pragma once

#include <cstdint>
#include <vector>

#include "core/kernels/kernels.h"
#include "core/model/layer.h"
#include "parallel/exec/job_plan.h"
#include "parallel/exec/tensor_block.h"

namespace sluice {

// The tensors of units whose slices have the same length.
struct SliceLayout {
  // What the forward of one layer keeps for its backward, without x, qkv and z.
  TensorBlock<LayerActivations> kept;
  // What the backward of one layer leaves for its weights, without dz.
  TensorBlock<LayerGradients> gradients;
  TensorBlock<LayerScratch> scratch;
  TensorBlock<Tensor> own_hidden;  // [own L, B, H]: a layer's input or output
  TensorBlock<Tensor> hidden;      // [L, B, H]: a gradient of a layer's output
  TensorBlock<Tensor> projection;  // [own L, B, H] in the accumulator type: the loss's projection
  int64_t qkv_rows_bytes = 0;      // of qkv, written by one unit's forward for one layer
};

class UnitLayout {
 public:
  UnitLayout(const JobPlan& plan, const RankCoordinates& rank);

  const SliceLayout& OfSlice(int slice) const { return layouts_[layout_of_slice_[slice]]; }
  const SliceLayout& OfLongestSlice() const { return layouts_[longest_]; }

  // An activation or a gradient on its way between stages.
  int64_t message_bytes(int slice) const { return OfSlice(slice).own_hidden.tensors().num_bytes(); }

  // [P + T, B, N, 3, D]: queries, keys and values of a layer's micro-batch, with the cached prefix.
  const TensorBlock<Tensor>& qkv() const { return qkv_; }
  // [P + T, B, N, 2, D] in the accumulator type: gradients of keys and values on their way to
  // earlier slices. They cross slices where there are several, or a prefix.
  const TensorBlock<Tensor>& key_value_accumulator() const { return key_value_accumulator_; }
  bool needs_key_value_accumulator() const { return needs_key_value_accumulator_; }
  // The rank's shards of one layer's parameters, and of their gradients.
  const TensorBlock<LayerParameterTensors>& weights() const { return weights_; }
  const TensorBlock<LayerParameterTensors>& weight_gradients() const { return weight_gradients_; }

  // The largest calls of kernels on this rank.
  const KernelLimits& limits() const { return limits_; }

 private:
  std::vector<SliceLayout> layouts_;     // one for each length of a slice
  std::vector<size_t> layout_of_slice_;  // [num_slices]
  size_t longest_ = 0;
  TensorBlock<Tensor> qkv_, key_value_accumulator_;
  TensorBlock<LayerParameterTensors> weights_, weight_gradients_;
  bool needs_key_value_accumulator_ = false;
  KernelLimits limits_;
};

}  // namespace sluice
