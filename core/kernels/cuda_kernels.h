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
#include <string_view>

#include "core/device/cuda/cuda_device.h"
#include "core/kernels/causal_attention/attention_implementation.h"
#include "core/kernels/cuda_gradient_lane.h"
#include "core/kernels/kernels.h"
#include "core/kernels/matmul/cublaslt_matmul.h"
#include "core/kernels/matmul/matmul_cuda.h"
#include "core/kernels/tuning.h"
#include "core/tensor/dtype.h"

namespace sluice {

// Bytes of workspace, whatever the GPU and the precision.
int64_t CudaWorkspaceBytes(std::optional<CausalAttentionImplementation> attention,
                           const KernelLimits& limits);

class CudaKernels : public Kernels {
 public:
  // `device` and `stream` must outlive the kernels.  Without `attention` it is
  // DefaultCausalAttention.
  CudaKernels(CudaDevice& device, CudaStream& stream, Precision precision,
              std::optional<CausalAttentionImplementation> attention = std::nullopt);

  // Throw Error when the implementation of attention cannot run with this head_dim; Reserve also
  // when there is not enough memory.
  int64_t WorkspaceBytes(const KernelLimits& limits) const override {
    return CudaWorkspaceBytes(CheckedAttention(limits.head_dim), limits);
  }
  void Reserve(const KernelLimits& limits) override;
  std::string_view AttentionName(int64_t head_dim) const override;
  GradientLane* gradient_lane() override { return &lane_; }

  bool tunes() const override { return true; }
  void set_tuning(Tuning tuning) override { matmul_.set_tuning(tuning); }

  void LinearForward(const LinearForwardArgs& args) override;
  void LinearBackwardInput(const LinearBackwardInputArgs& args) override;
  void LinearBackwardWeight(const LinearBackwardWeightArgs& args) override;
  void LayerNormForward(const LayerNormForwardArgs& args) override;
  void LayerNormBackward(const LayerNormBackwardArgs& args) override;
  void CausalAttentionForward(const CausalAttentionForwardArgs& args) override;
  void CausalAttentionBackward(const CausalAttentionBackwardArgs& args) override;
  void AddBiasResidual(const AddBiasResidualArgs& args) override;
  void LossForward(const LossForwardArgs& args) override;
  void LossBackward(const LossBackwardArgs& args) override;

 private:
  cuda::LinearContext linear_context();
  CausalAttentionImplementation AttentionFor(int64_t head_dim) const;
  CausalAttentionImplementation CheckedAttention(int64_t head_dim) const;  // throws Error

  // Scratch memory of the current operation.  One piece is enough for a stream, whose operations
  // run one after the other.
  void* scratch();

  CudaDevice& device_;
  CudaStream& stream_;
  Precision precision_;
  std::optional<CausalAttentionImplementation> attention_;
  std::unique_ptr<CudaStream> lane_stream_;
  cuda::CublasLtMatmul matmul_;
  cuda::CudaGradientLane lane_;
  Buffer scratch_;  // of both streams, one piece after the other
  Buffer relu_sums_;
  Buffer norm_sums_[kNumNormSlots];
};

}  // namespace sluice
