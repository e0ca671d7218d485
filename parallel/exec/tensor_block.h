// Tensors that follow each other in memory, laid out once and then placed at any address.
//
//   const TensorBlock<LayerScratch> scratch({.dattn = Tensor(nullptr, dtype, shape)});
//   scratch.size_bytes();
//   LayerScratch placed = scratch.At(base);
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "core/model/layer.h"
#include "parallel/exec/arena.h"

namespace sluice {

// The tensors of a block in their order in memory. The tensors of LayerActivations and
// LayerGradients that are not listed are part of other blocks.
inline std::array<Tensor*, 1> TensorsOf(Tensor& tensor) { return {&tensor}; }
inline std::array<Tensor*, 10> TensorsOf(LayerActivations& a) {
  return {&a.attn_ln_out, &a.attn_ln_mean, &a.attn_ln_rstd, &a.attn_out,   &a.attn_lse,
          &a.y,           &a.fc_ln_out,    &a.fc_ln_mean,   &a.fc_ln_rstd, &a.fc1_out};
}
inline std::array<Tensor*, 3> TensorsOf(LayerGradients& g) { return {&g.dfc1, &g.dy, &g.dqkv}; }
inline std::array<Tensor*, 3> TensorsOf(LayerScratch& s) {
  return {&s.partial, &s.dhidden, &s.dattn};
}
inline std::array<Tensor*, kNumLayerParameters> TensorsOf(LayerParameterTensors& parameters) {
  std::array<Tensor*, kNumLayerParameters> tensors = {};
  for (size_t i = 0; i < tensors.size(); ++i) tensors[i] = &parameters[i];
  return tensors;
}

template <typename Tensors>
class TensorBlock {
 public:
  TensorBlock() = default;
  // `tensors` have types and shapes, and no memory. Those without a shape stay absent.
  explicit TensorBlock(const Tensors& tensors) : tensors_(tensors) {
    size_t i = 0;
    for (const Tensor* tensor : TensorsOf(tensors_)) {
      offsets_[i++] = size_bytes_;
      if (HasShape(*tensor)) size_bytes_ += AlignUp(tensor->num_bytes());
    }
  }

  int64_t size_bytes() const { return size_bytes_; }
  // Types and shapes, without memory.
  const Tensors& tensors() const { return tensors_; }

  // The tensors in the memory that begins at `base`.
  Tensors At(char* base) const {
    Tensors placed = tensors_;
    size_t i = 0;
    for (Tensor* tensor : TensorsOf(placed)) {
      const int64_t offset = offsets_[i++];
      if (HasShape(*tensor)) *tensor = Tensor(base + offset, tensor->dtype(), tensor->shape());
    }
    return placed;
  }

 private:
  static bool HasShape(const Tensor& tensor) { return tensor.shape().rank() > 0; }

  Tensors tensors_;
  std::array<int64_t, std::tuple_size_v<decltype(TensorsOf(std::declval<Tensors&>()))>> offsets_ =
      {};
  int64_t size_bytes_ = 0;
};

}  // namespace sluice
