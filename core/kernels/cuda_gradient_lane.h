// A second stream of an NVIDIA GPU for gradients of parameters.
#pragma once

#include "core/device/cuda/cuda_device.h"
#include "core/kernels/gradient_lane.h"
#include "core/kernels/matmul/matmul_cuda.h"

namespace sluice::cuda {

class CudaGradientLane : public GradientLane {
 public:
  // `main` is the kernels' stream and `side` the lane's; `matmul` runs on both.  All must outlive
  // the lane.
  struct Streams {
    CudaStream& main;
    CudaStream& side;
  };
  CudaGradientLane(const Streams& streams, CublasLtMatmul& matmul)
      : streams_(streams), matmul_(matmul) {}

  // Scratch memory for all calls, each piece aligned to 256 bytes.
  struct Memory {
    void* main = nullptr;  // of products on each stream: LinearScratchBytes
    void* side = nullptr;
    float* norm_sums[kNumNormSlots] = {};  // LayerNormScratchSize floats each
    float* relu_sums = nullptr;            // ColumnSumsScratchSize floats
  };
  void set_memory(const Memory& memory) { memory_ = memory; }

  void LinearBackwardWeight(const LinearBackwardWeightArgs& args) override;
  void LinearBackwardThroughRelu(const LinearBackwardInputArgs& behind,
                                 const LinearBackwardWeightArgs& in_front) override;
  void LayerNormBackward(const LayerNormBackwardArgs& args, NormSlot slot) override;
  void Join() override { streams_.main.WaitFor(streams_.side); }

 private:
  LinearContext main_context() {
    return {.matmul = matmul_, .stream = streams_.main, .scratch = memory_.main};
  }
  // The lane's stream, after all that was enqueued on the kernels' stream so far.
  CudaStream& Fork();

  Streams streams_;
  CublasLtMatmul& matmul_;
  Memory memory_;
};

}  // namespace sluice::cuda
