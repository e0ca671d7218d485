#include "core/kernels/cuda_gradient_lane.h"

#include "core/base/check.h"
#include "core/kernels/cuda/column_sums.h"
#include "core/kernels/layer_norm/layer_norm_cuda.h"

namespace sluice::cuda {
namespace {

// Below this size the gradient of a ReLU stays in the caches, and another pass over it costs
// little.
constexpr int64_t kMinMaskedSumElements = int64_t{1} << 20;

bool PrefersMaskedSums(const LinearBackwardInputArgs& behind,
                       const LinearBackwardWeightArgs& in_front) {
  return in_front.dbias.present() && behind.dx.num_elements() >= kMinMaskedSumElements;
}

}  // namespace

CudaStream& CudaGradientLane::Fork() {
  SLUICE_CHECK(memory_.side != nullptr);  // call Kernels::Reserve first
  streams_.side.WaitFor(streams_.main);
  return streams_.side;
}

void CudaGradientLane::LinearBackwardWeight(const LinearBackwardWeightArgs& args) {
  cuda::LinearBackwardWeight(args, {.matmul = matmul_, .stream = Fork(), .scratch = memory_.side});
}

void CudaGradientLane::LinearBackwardThroughRelu(const LinearBackwardInputArgs& behind,
                                                 const LinearBackwardWeightArgs& in_front) {
  LinearBackwardWeightArgs weight = in_front;
  if (PrefersMaskedSums(behind, in_front)) {
    const ColumnPartials partials =
        LinearBackwardInputAndSums(behind, memory_.relu_sums, main_context());
    SumPartials(partials, {.first = in_front.dbias, .second = {}}, in_front.write_mode,
                Fork().handle());
    weight.dbias = Tensor();
  } else {
    LinearBackwardInput(behind, main_context());
  }
  LinearBackwardWeight(weight);
}

void CudaGradientLane::LayerNormBackward(const LayerNormBackwardArgs& args, NormSlot slot) {
  float* sums = memory_.norm_sums[static_cast<int>(slot)];
  SLUICE_CHECK(sums != nullptr);  // call Kernels::Reserve first
  LayerNormBackwardRows(args, sums, streams_.main.handle());
  LayerNormBackwardSums(args, sums, Fork().handle());
}

}  // namespace sluice::cuda
