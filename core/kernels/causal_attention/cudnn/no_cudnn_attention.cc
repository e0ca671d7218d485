#include "core/base/check.h"
#include "core/kernels/causal_attention/cudnn/cudnn_attention.h"

namespace sluice::cuda {

std::optional<std::string> FindCudnnAttentionError(DType, int64_t) {
  return "cudnn attention is not part of this program: it was built where there is no cuDNN";
}

int64_t CudnnAttentionWorkspaceBytes(const AttentionShape&) { return 0; }

void LaunchCudnnForward(const AttentionForwardParams&, DType, void*, cudaStream_t) {
  SLUICE_CHECK(!"built without cuDNN");
}

void LaunchCudnnBackward(const AttentionBackwardParams&, DType, void*, cudaStream_t) {
  SLUICE_CHECK(!"built without cuDNN");
}

}  // namespace sluice::cuda
