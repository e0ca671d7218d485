// Every operation that the model needs, on one device in one precision: CpuKernels or CudaKernels.
//
// Each call enqueues one operation on the stream that the kernels were made with; the Args structs
// (one header a folder) say what is read, overwritten and accumulated.  All tensors are of the
// kernels' device.  Nothing is allocated by a call: Reserve, before timing, allocates the scratch
// memory that calls within the given limits need.
#pragma once

#include <string>
#include <string_view>

#include "core/kernels/causal_attention/causal_attention.h"
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

// What the operations of one layer see of a unit on this rank.
struct LayerSizes {
  int64_t slice_len = 0;
  int64_t prefix_len = 0;  // positions before the slice
  int64_t batch_size = 0;  // sequences of a micro-batch
  int64_t hidden_size = 0;
  int64_t num_heads = 0;
  int64_t head_dim = 0;
  int64_t ffn_hidden_size = 0;
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

  // Which implementation of causal attention calls with this head_dim run where there is no small
  // kernel for them: on cuda the name of a CausalAttentionImplementation, "cpu" on the cpu.
  virtual std::string_view AttentionName(int64_t head_dim) const = 0;

  // Which operations of a layer run as small kernels, those for sizes at which latency is all
  // (small_linear.h, small_attention.h, small_backward.h), separated by "+": "none", or
  // "norm_in_proj+attention+out_proj+norm_fc1+fc2+fc2_dx+norm_fc1_dx+out_proj_dx+attention_dx+
  // norm_in_proj_dx".
  virtual std::string SmallKernelNames(const LayerSizes&) const { return "none"; }

  virtual void LinearForward(const LinearForwardArgs& args) = 0;
  virtual void LinearBackwardInput(const LinearBackwardInputArgs& args) = 0;
  virtual void LinearBackwardWeight(const LinearBackwardWeightArgs& args) = 0;
  // The backward through the ReLU between two linear layers: LinearBackwardInput of the layer
  // behind it, which has a relu_out, and LinearBackwardWeight of the layer in front, whose dout is
  // the first one's dx.  The bias's gradient may be summed in the pass that masks dx.
  virtual void LinearBackwardThroughRelu(const LinearBackwardInputArgs& behind,
                                         const LinearBackwardWeightArgs& in_front) {
    LinearBackwardInput(behind);
    LinearBackwardWeight(in_front);
  }
  virtual void LayerNormForward(const LayerNormForwardArgs& args) = 0;
  // Both, `norm` first: linear.x is norm.out, and norm.out is not norm.x.  In one launch where
  // there is a kernel for it.
  virtual void NormLinearForward(const LayerNormForwardArgs& norm,
                                 const LinearForwardArgs& linear) {
    LayerNormForward(norm);
    LinearForward(linear);
  }
  virtual void LayerNormBackward(const LayerNormBackwardArgs& args) = 0;
  virtual void CausalAttentionForward(const CausalAttentionForwardArgs& args) = 0;
  virtual void CausalAttentionBackward(const CausalAttentionBackwardArgs& args) = 0;

  // The backward of a linear layer and of the layer norm in front of it: LinearBackwardInput, whose
  // dx is norm.dout, then LayerNormBackward.  Between BeginWeightOverlap and FinishGradients the
  // layer norm may be left to the operation that reads norm.dx next: until it or FinishGradients
  // nobody else may read norm.dx or write the operands.
  virtual void LinearNormBackwardInput(const LinearBackwardInputArgs& linear,
                                       const LayerNormBackwardArgs& norm) {
    LinearBackwardInput(linear);
    LayerNormBackward(norm);
  }

  // Between the two calls gradients of parameters may be made beside the operations that are called
  // after theirs.  Until the second call nobody may write the operands of LinearBackwardWeight, and
  // until a FinishGradients only operations that are called here; and there are at most two layer
  // norms.  Gradients of parameters may be used after a FinishGradients that follows the second
  // call; until it, further pairs of calls may follow, but no forward whose results they read.
  virtual void BeginWeightOverlap() = 0;
  virtual void EndWeightOverlap() = 0;
  virtual void FinishGradients() {}

  virtual void AddBiasResidual(const AddBiasResidualArgs& args) = 0;
  virtual void LossForward(const LossForwardArgs& args) = 0;
  virtual void LossBackward(const LossBackwardArgs& args) = 0;
};

}  // namespace sluice
