// Kernels that compute nothing: a pass with them takes the time of everything around the kernels.
#pragma once

#include "core/kernels/kernels.h"

namespace sluice {

class EmptyKernels : public Kernels {
 public:
  int64_t WorkspaceBytes(const KernelLimits&) const override { return 0; }
  void Reserve(const KernelLimits&) override {}
  std::string_view AttentionName(int64_t) const override { return "none"; }

  void LinearForward(const LinearForwardArgs&) override {}
  void LinearBackwardInput(const LinearBackwardInputArgs&) override {}
  void LinearBackwardWeight(const LinearBackwardWeightArgs&) override {}
  void LayerNormForward(const LayerNormForwardArgs&) override {}
  void LayerNormBackward(const LayerNormBackwardArgs&) override {}
  void CausalAttentionForward(const CausalAttentionForwardArgs&) override {}
  void CausalAttentionBackward(const CausalAttentionBackwardArgs&) override {}
  void AddBiasResidual(const AddBiasResidualArgs&) override {}
  void LossForward(const LossForwardArgs&) override {}
  void LossBackward(const LossBackwardArgs&) override {}
};

}  // namespace sluice
