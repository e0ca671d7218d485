// What is refused before a GPU is asked for anything.  The kernels: causal_attention_cuda_test.
#include "core/kernels/causal_attention/cudnn/cudnn_attention.h"

#include <gtest/gtest.h>

namespace sluice::cuda {
namespace {

TEST(FindCudnnAttentionErrorTest, NamesWhatIsAllowed) {
  EXPECT_EQ(FindCudnnAttentionError(DType::kFloat32, 64),
            "cudnn attention has no f32; valid: bf16, fp16");
  for (const int64_t head_dim : {0, 100, 136}) {
    EXPECT_EQ(FindCudnnAttentionError(DType::kBFloat16, head_dim),
              "cudnn attention has no head_dim " + std::to_string(head_dim) +
                  "; valid: multiples of 8 up to 128");
  }
}

TEST(FindCudnnAttentionErrorTest, SaysWhatToDoWhereTheLibraryIsMissing) {
  const std::optional<std::string> error = FindCudnnAttentionError(DType::kBFloat16, 64);
  if (!error) GTEST_SKIP() << "this machine has cuDNN";
  EXPECT_NE(error->find("cuDNN"), std::string::npos) << *error;
  EXPECT_EQ(error->find('\n'), std::string::npos) << *error;
}

TEST(CudnnAttentionWorkspaceBytesTest, GrowsWithTheShape) {
  const AttentionShape shape = {.slice_len = 128, .num_keys = 256, .num_pairs = 4, .head_dim = 64};
  AttentionShape more_queries = shape, more_keys = shape, more_pairs = shape;
  more_queries.slice_len = 129;
  more_keys.num_keys = 257;
  more_pairs.num_pairs = 5;
  const int64_t size_bytes = CudnnAttentionWorkspaceBytes(shape);
  EXPECT_GE(size_bytes, 4 * (128 * 64 * 4 + 256 * 2 * 64 * 2));
  for (const AttentionShape& larger : {more_queries, more_keys, more_pairs}) {
    EXPECT_GT(CudnnAttentionWorkspaceBytes(larger), size_bytes);
  }
}

}  // namespace
}  // namespace sluice::cuda
