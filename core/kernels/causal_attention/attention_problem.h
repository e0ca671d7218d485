// One causal-attention problem with random inputs, on the host in float64 and on the GPU, for
// tests and timing.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/kernels/causal_attention/causal_attention.h"
#include "core/kernels/causal_attention/causal_attention_cuda.h"

namespace sluice::cuda {

struct AttentionProblem {
  DType dtype = DType::kBFloat16;
  int64_t prefix_len = 0;
  int64_t slice_len = 0;
  int64_t batch_size = 1;
  int64_t num_heads = 1;
  int64_t head_dim = 64;

  int64_t num_keys() const { return prefix_len + slice_len; }
  int64_t num_pairs() const { return batch_size * num_heads; }
  std::string ToString() const;
};

// Device memory that holds a tensor and, behind it, a guard that nothing may write.
class GuardedTensor {
 public:
  GuardedTensor() = default;
  GuardedTensor(DType dtype, Shape shape);
  GuardedTensor(GuardedTensor&& other) noexcept;
  GuardedTensor& operator=(GuardedTensor&& other) noexcept;
  ~GuardedTensor();

  const Tensor& tensor() const { return tensor_; }

  // Rounds to the element type.
  void Upload(const std::vector<double>& values);
  std::vector<double> Download() const;
  std::vector<uint8_t> DownloadBytes() const;

  // Fills with NaN, the guard with a pattern.
  void Poison();
  bool guard_is_intact() const;

 private:
  Tensor tensor_;
};

// n standard normal numbers, rounded to `dtype`, a pure function of (seed, name).
std::vector<double> RandomValues(int64_t n, DType dtype, uint64_t seed, std::string_view name);

// Inputs and gradients of one problem, row-major in the shapes of causal_attention.h.
struct AttentionInputs {
  std::vector<double> qkv;
  std::vector<double> dout;
  std::vector<double> dkv_accumulator;  // what later slices left
};
AttentionInputs MakeInputs(const AttentionProblem& problem, uint64_t seed);

struct AttentionResults {
  std::vector<double> out;
  std::vector<double> lse;
  std::vector<double> dqkv;
  std::vector<double> dkv_accumulator;  // rows 0 .. prefix_len - 1
};

// Plain loops in float64.
AttentionResults ReferenceAttention(const AttentionProblem& problem, const AttentionInputs& inputs,
                                    WriteMode write_mode);

// The problem's tensors on the GPU, and a workspace for one implementation.
struct DeviceAttention {
  DeviceAttention(const AttentionProblem& problem, CausalAttentionImplementation implementation);

  CausalAttentionForwardArgs forward() const;
  CausalAttentionBackwardArgs backward(WriteMode write_mode) const;

  // Enqueue one call.
  void Forward(cudaStream_t stream) const { Forward(forward(), stream); }
  void Forward(const CausalAttentionForwardArgs& args, cudaStream_t stream) const;
  void Backward(WriteMode write_mode, cudaStream_t stream) const {
    Backward(backward(write_mode), stream);
  }
  void Backward(const CausalAttentionBackwardArgs& args, cudaStream_t stream) const;

  AttentionProblem problem;
  CausalAttentionImplementation implementation;
  GuardedTensor qkv;
  GuardedTensor out;
  GuardedTensor lse;
  GuardedTensor dout;
  GuardedTensor dqkv;
  GuardedTensor dkv_accumulator;
  GuardedTensor workspace;
};

}  // namespace sluice::cuda
