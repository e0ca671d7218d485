#include "core/kernels/cpu_kernels.h"

#include <algorithm>

#include "core/kernels/causal_attention/causal_attention_cpu.h"
#include "core/kernels/cpu/blas.h"
#include "core/kernels/cpu/gemm.h"
#include "core/kernels/layer_norm/layer_norm_cpu.h"
#include "core/kernels/loss/loss_cpu.h"
#include "core/kernels/matmul/matmul_cpu.h"
#include "core/kernels/residual/residual_cpu.h"

namespace sluice {
namespace {

// Elements of scratch a thread.
int64_t LayerNormScratch(int64_t hidden_size) { return 2 * hidden_size; }

template <typename T>
int64_t ThreadWorkspaceBytes(const KernelLimits& limits) {
  // Attention's holds that of a product.
  const int64_t size = std::max(cpu::CausalAttentionScratchSize<T>(limits.head_dim),
                                LayerNormScratch(limits.hidden_size));
  return size * static_cast<int64_t>(sizeof(T));
}

}  // namespace

int64_t CpuWorkspaceBytes(DType dtype, int num_threads, const KernelLimits& limits) {
  return num_threads * (dtype == DType::kFloat64 ? ThreadWorkspaceBytes<double>(limits)
                                                 : ThreadWorkspaceBytes<float>(limits));
}

CpuKernels::CpuKernels(CpuDevice& device, DType dtype) : device_(device), dtype_(dtype) {
  SLUICE_CHECK(dtype == DType::kFloat32 || dtype == DType::kFloat64);
  cpu::CheckBlasHasNoThreads();
}

void CpuKernels::Reserve(const KernelLimits& limits) {
  workspace_ = device_.Allocate(WorkspaceBytes(limits), "the kernels' workspace");
}

template <typename T>
T* CpuKernels::Scratch(int64_t size) {
  SLUICE_CHECK_GE(workspace_.size_bytes(),
                  device_.pool().num_threads() * size * static_cast<int64_t>(sizeof(T)));
  return static_cast<T*>(workspace_.data());
}

void CpuKernels::LinearForward(const LinearForwardArgs& args) {
  WithType([&](auto t) {
    using T = decltype(t);
    cpu::LinearForward<T>(device_.pool(), args, Scratch<T>(cpu::GemmScratchSize<T>()));
  });
}

void CpuKernels::LinearBackwardInput(const LinearBackwardInputArgs& args) {
  WithType([&](auto t) {
    using T = decltype(t);
    cpu::LinearBackwardInput<T>(device_.pool(), args, Scratch<T>(cpu::GemmScratchSize<T>()));
  });
}

void CpuKernels::LinearBackwardWeight(const LinearBackwardWeightArgs& args) {
  WithType([&](auto t) {
    using T = decltype(t);
    cpu::LinearBackwardWeight<T>(device_.pool(), args, Scratch<T>(cpu::GemmScratchSize<T>()));
  });
}

void CpuKernels::LayerNormForward(const LayerNormForwardArgs& args) {
  WithType([&](auto t) { cpu::LayerNormForward<decltype(t)>(device_.pool(), args); });
}

void CpuKernels::LayerNormBackward(const LayerNormBackwardArgs& args) {
  WithType([&](auto t) {
    using T = decltype(t);
    cpu::LayerNormBackward<T>(device_.pool(), args,
                              Scratch<T>(LayerNormScratch(args.weight.num_elements())));
  });
}

void CpuKernels::CausalAttentionForward(const CausalAttentionForwardArgs& args) {
  WithType([&](auto t) {
    using T = decltype(t);
    cpu::CausalAttentionForward<T>(
        device_.pool(), args, Scratch<T>(cpu::CausalAttentionScratchSize<T>(args.out.shape()[3])));
  });
}

void CpuKernels::CausalAttentionBackward(const CausalAttentionBackwardArgs& args) {
  WithType([&](auto t) {
    using T = decltype(t);
    cpu::CausalAttentionBackward<T>(
        device_.pool(), args, Scratch<T>(cpu::CausalAttentionScratchSize<T>(args.out.shape()[3])));
  });
}

void CpuKernels::AddBiasResidual(const AddBiasResidualArgs& args) {
  WithType([&](auto t) { cpu::AddBiasResidual<decltype(t)>(device_.pool(), args); });
}

void CpuKernels::LossForward(const LossForwardArgs& args) {
  WithType([&](auto t) { cpu::LossForward<decltype(t)>(args); });
}

void CpuKernels::LossBackward(const LossBackwardArgs& args) {
  WithType([&](auto t) { cpu::LossBackward<decltype(t)>(device_.pool(), args); });
}

}  // namespace sluice
