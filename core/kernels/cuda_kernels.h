// The kernels of one NVIDIA GPU in one precision: float32, tf32, bf16 or fp16.
//
//   CudaDevice device({.device_index = 0});
//   std::unique_ptr<CudaStream> stream = device.MakeCudaStream();
//   CudaKernels kernels(device, *stream, Precision::kBFloat16);
//   kernels.Reserve(limits);
//   kernels.LinearForward(args);  // first call of a shape: chooses an algorithm
//   auto graph = stream->Capture([&] { kernels.LinearForward(args); });
//
// Accumulation, statistics, softmax and the loss are float32 or better; float32 is computed as
// float32, tf32 only where the precision says so.  Results are the same bits on every run with the
// same algorithms: every sum has a fixed order.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/device/cuda/cuda_device.h"
#include "core/kernels/causal_attention/attention_implementation.h"
#include "core/kernels/causal_attention/causal_attention_cuda.h"
#include "core/kernels/kernels.h"
#include "core/kernels/matmul/cublaslt_matmul.h"
#include "core/kernels/matmul/matmul_cuda.h"
#include "core/kernels/small_backward/small_backward.h"
#include "core/kernels/tuning.h"
#include "core/tensor/dtype.h"

namespace sluice {

class CudaKernels : public Kernels {
 public:
  // `device` and `stream` must outlive the kernels.  Without `attention` it is
  // DefaultCausalAttention.
  CudaKernels(CudaDevice& device, CudaStream& stream, Precision precision,
              std::optional<CausalAttentionImplementation> attention = std::nullopt);

  // Throw Error when the implementation of attention cannot run with this head_dim; Reserve also
  // when there is not enough memory.
  int64_t WorkspaceBytes(const KernelLimits& limits) const override;
  void Reserve(const KernelLimits& limits) override;
  std::string_view AttentionName(int64_t head_dim) const override;
  std::string SmallKernelNames(const LayerSizes& sizes) const override;

  bool tunes() const override { return true; }
  void set_tuning(Tuning tuning) override { matmul_.set_tuning(tuning); }

  void LinearForward(const LinearForwardArgs& args) override;
  void NormLinearForward(const LayerNormForwardArgs& norm,
                         const LinearForwardArgs& linear) override;
  void LinearBackwardInput(const LinearBackwardInputArgs& args) override;
  void LinearBackwardWeight(const LinearBackwardWeightArgs& args) override;
  void LinearBackwardThroughRelu(const LinearBackwardInputArgs& behind,
                                 const LinearBackwardWeightArgs& in_front) override;
  void LayerNormForward(const LayerNormForwardArgs& args) override;
  void LayerNormBackward(const LayerNormBackwardArgs& args) override;
  void CausalAttentionForward(const CausalAttentionForwardArgs& args) override;
  void CausalAttentionBackward(const CausalAttentionBackwardArgs& args) override;
  void LinearNormBackwardInput(const LinearBackwardInputArgs& linear,
                               const LayerNormBackwardArgs& norm) override;
  void BeginWeightOverlap() override;
  void EndWeightOverlap() override;
  void FinishGradients() override;
  void AddBiasResidual(const AddBiasResidualArgs& args) override;
  void LossForward(const LossForwardArgs& args) override;
  void LossBackward(const LossBackwardArgs& args) override;

 private:
  cuda::LinearContext linear_context();
  CausalAttentionImplementation AttentionFor(int64_t head_dim) const;
  CausalAttentionImplementation CheckedAttention(int64_t head_dim) const;  // throws Error
  bool TakesSmallAttention(int64_t head_dim, const cuda::AttentionSizes& sizes) const;

  // The scratch memory of the operation in hand; one for each stream is enough, since operations
  // run one after the other on it.
  void* scratch();

  bool UsesSmallBackward() const { return overlap_ != Overlap::kOff; }

  // Makes the weight stream wait for all that was enqueued before.
  CudaStream& ForkWeightStream();

  CudaDevice& device_;
  CudaStream& stream_;
  Precision precision_;
  std::optional<CausalAttentionImplementation> attention_;
  std::unique_ptr<CudaStream> weight_stream_;  // of weight gradients that overlap
  cuda::CublasLtMatmul matmul_;
  cuda::SmallBackward small_backward_;
  Buffer scratch_;
  void* weight_scratch_ = nullptr;  // of weight_stream_, a part of scratch_
  Buffer relu_scratch_;             // of sums that are made where a ReLU's gradient is masked
  Buffer norm_scratch_[2];          // of the layer norms whose gradients overlap
  int num_overlapped_norms_ = 0;
  enum class Overlap : uint8_t { kOff, kOn, kOnAndForked } overlap_ = Overlap::kOff;
};

}  // namespace sluice
