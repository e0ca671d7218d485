// Every operation that the model needs, on one device in one precision: CpuKernels or CudaKernels.
//
// Each call is complete: it enqueues one operation on the stream that the kernels were made with,
// and does not depend on what is called before or after it.  The Args structs (one header a folder)
// say what is read, overwritten and accumulated.  All tensors are of the kernels' device.  Nothing
// is allocated by a call: Reserve, before timing, allocates the scratch memory that calls within
// the given limits need.
#pragma once

#include <string_view>

#include "core/kernels/causal_attention/causal_attention.h"
#include "core/kernels/gradient_lane.h"
#include "core/kernels/layer_norm/layer_norm.h"
#include "core/kernels/loss/loss.h"
#include "core/kernels/matmul/matmul.h"
#include "core/kernels/residual/residual.h"
#include "core/kernels/tuning.h"

namespace sluice {

// The largest sizes that calls will have.
struct KernelLimits {
  int64_t max_tokens = 0;   // rows of any matmul, layer norm or loss: slice_len x micro_batch_size
  int64_t max_seq_len = 0;  // prefix_len + slice_len
  int64_t max_batch_size = 0;  // sequences of a micro-batch
  int64_t hidden_size = 0;
  int64_t num_heads = 0;  // of this rank
  int64_t head_dim = 0;
  int64_t max_features = 0;  // in or out of any matmul on this rank
};

class Kernels {
 public:
  virtual ~Kernels() = default;

  // Whether implementations are chosen by timing, at the first call of each shape.  That allocates,
  // frees and synchronises the device, so it must be over before a message may be under way: run
  // each operation once, then forbid tuning.  While it is forbidden, a call of a new shape is our
  // bug.  Allowed at first.
  virtual bool tunes() const { return false; }
  virtual void set_tuning(Tuning) {}

  // Bytes that Reserve allocates for these limits.
  virtual int64_t WorkspaceBytes(const KernelLimits& limits) const = 0;
  virtual void Reserve(const KernelLimits& limits) = 0;

  // Which implementation of causal attention calls with this head_dim run: on cuda the name of a
  // CausalAttentionImplementation, "cpu" on the cpu.
  virtual std::string_view AttentionName(int64_t head_dim) const = 0;

  // Where gradients of parameters are made beside these kernels; null on a device that gains
  // nothing from a second stream.
  virtual GradientLane* gradient_lane() { return nullptr; }

  virtual void LinearForward(const LinearForwardArgs& args) = 0;
  virtual void LinearBackwardInput(const LinearBackwardInputArgs& args) = 0;
  virtual void LinearBackwardWeight(const LinearBackwardWeightArgs& args) = 0;
  virtual void LayerNormForward(const LayerNormForwardArgs& args) = 0;
  virtual void LayerNormBackward(const LayerNormBackwardArgs& args) = 0;
  virtual void CausalAttentionForward(const CausalAttentionForwardArgs& args) = 0;
  virtual void CausalAttentionBackward(const CausalAttentionBackwardArgs& args) = 0;
  virtual void AddBiasResidual(const AddBiasResidualArgs& args) = 0;
  virtual void LossForward(const LossForwardArgs& args) = 0;
  virtual void LossBackward(const LossBackwardArgs& args) = 0;
};

}  // namespace sluice
