// The kernels of small layers on NVIDIA GPUs, in bf16 and fp16: linear_forward.h and
// attention_forward.h (sm_80 and later), input_gradient.h and attention_gradient.h (Hopper).
//
//   CudaSmallLayer small(device, stream, {.dtype = DType::kBFloat16, .has_small_attention = true});
//   small.NormLinearForward(norm, linear);
#pragma once

#include "core/device/cuda/cuda_device.h"
#include "core/kernels/small_layer/small_layer_kernels.h"

namespace sluice::cuda {

struct CudaSmallLayerOptions {
  DType dtype = DType::kBFloat16;
  bool has_small_attention = true;
};

class CudaSmallLayer : public SmallLayerKernels {
 public:
  // `device` and `stream` must outlive this.
  CudaSmallLayer(const CudaDevice& device, CudaStream& stream,
                 const CudaSmallLayerOptions& options);

  SmallLayerDevice device() const override { return device_; }

  void LinearForward(const LinearForwardArgs& args) override;
  void NormLinearForward(const LayerNormForwardArgs& norm,
                         const LinearForwardArgs& linear) override;
  void AttentionForward(const CausalAttentionForwardArgs& args) override;
  void InputGradient(const SmallInputGradientArgs& args, ChainPlace place) override;
  void AttentionGradient(const CausalAttentionBackwardArgs& args, PiggybackedWeights weights,
                         ChainPlace place) override;
  void WeightGradients(PiggybackedWeights weights, ChainPlace place) override;

 private:
  SmallLayerDevice device_;
  CudaStream& stream_;
};

}  // namespace sluice::cuda
