#include <gtest/gtest.h>

#include "core/kernels/causal_attention/cudnn/cudnn_attention.h"

namespace sluice::cuda {
namespace {

TEST(NoCudnnAttention, SaysThatItWasBuiltWithoutCudnn) {
  EXPECT_EQ(FindCudnnAttentionError(DType::kBFloat16, 64),
            "cudnn attention is not part of this program: it was built where there is no cuDNN");
}

}  // namespace
}  // namespace sluice::cuda
