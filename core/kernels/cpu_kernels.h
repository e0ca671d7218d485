// Kernels on the CPU, in float32 or float64.
#pragma once

#include "core/device/cpu/cpu_device.h"
#include "core/kernels/kernels.h"

namespace sluice {

// Bytes of workspace on a device with that many threads.
int64_t CpuWorkspaceBytes(DType dtype, int num_threads, const KernelLimits& limits);

class CpuKernels : public Kernels {
 public:
  // `dtype` is kFloat32 or kFloat64.  The device must outlive the kernels.
  CpuKernels(CpuDevice& device, DType dtype);

  int64_t WorkspaceBytes(const KernelLimits& limits) const override {
    return CpuWorkspaceBytes(dtype_, device_.pool().num_threads(), limits);
  }
  void Reserve(const KernelLimits& limits) override;
  std::string_view AttentionName(int64_t) const override { return "cpu"; }

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
  // Calls function(T{}) with T the element type.
  template <typename Function>
  void WithType(const Function& function) const {
    dtype_ == DType::kFloat64 ? function(double{}) : function(float{});
  }

  // The workspace, checked to hold at least `size` elements.
  template <typename T>
  T* Scratch(int64_t size);

  CpuDevice& device_;
  DType dtype_;
  Buffer workspace_;
};

}  // namespace sluice
