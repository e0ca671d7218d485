// Which sizes the kernels of small layers can run, and for which they are preferred: pure functions
// of sizes.  CanRun... says what the kernels are compiled for; Prefers... where they are expected
// to be faster than the plain ones.
#pragma once

#include <cstdint>

namespace sluice {

// A linear layer: [M, K] to [M, N].
struct LinearSizes {
  int64_t num_tokens = 0;   // M
  int64_t num_inputs = 0;   // K
  int64_t num_outputs = 0;  // N
};

// What a block of linear_forward.h owns besides its 16 tokens.
enum class SmallLinearTile : uint8_t {
  k16,  // columns; 8 warps split K
  k32,  // columns; 8 warps split K
  k64,  // columns; 4 warps split K, 2 the columns
};

// Forward: K is a multiple of 32 and at most 2048 (1024 behind a norm; half of both for k64), and N
// a multiple of the tile.
bool CanRunSmallLinear(const LinearSizes& sizes, SmallLinearTile tile);
bool CanRunSmallNormLinear(const LinearSizes& sizes, SmallLinearTile tile);
bool PrefersSmallLinear(const LinearSizes& sizes);

// The widest tile that still gives every multiprocessor a block or so.
SmallLinearTile ChooseSmallLinearTile(const LinearSizes& sizes);
SmallLinearTile ChooseSmallNormLinearTile(const LinearSizes& sizes);

// Backward of a linear layer: gradients of its input, of its parameters, and of its input where
// that comes from a layer norm, whose backward follows.
bool CanRunSmallLinearBackward(const LinearSizes& sizes);
bool CanRunSmallNormLinearBackward(const LinearSizes& sizes);
bool PrefersSmallLinearBackward(const LinearSizes& sizes);

// Causal attention of one unit.
struct AttentionSizes {
  int64_t slice_len = 0;
  int64_t prefix_len = 0;
  int64_t batch_size = 0;
  int64_t num_heads = 0;
  int64_t head_dim = 0;
};
bool CanRunSmallAttention(const AttentionSizes& sizes);
bool PrefersSmallAttention(const AttentionSizes& sizes);

// Its backward: no prefix, at most 256 positions, head_dim a multiple of 16 up to 128, and room for
// a head in `max_shared_bytes`, the shared memory of a block.
bool CanRunSmallAttentionBackward(const AttentionSizes& sizes, int64_t max_shared_bytes);
bool PrefersSmallAttentionBackward(const AttentionSizes& sizes);

// Positions, at most.
inline constexpr int kMaxAttentionGradientLen = 256;

// Bytes of shared memory of a block of attention_gradient.cu, which checks that they are right.
constexpr int64_t AttentionGradientSharedBytes(int64_t slice_len, int64_t head_dim) {
  constexpr int64_t kRows = 16, kWarps = 8, kPadding = 8, kElementBytes = 2, kFloatBytes = 4;
  const int64_t rows = (slice_len + kRows - 1) / kRows * kRows;
  const int64_t stride = head_dim + kPadding;
  const int64_t tiles = (2 * kRows + 3 * rows) * stride * kElementBytes;
  const int64_t statistics = 2 * rows * kFloatBytes;
  const int64_t partial_sums = kWarps * kRows * stride * kFloatBytes;
  return tiles + statistics + partial_sums;
}

}  // namespace sluice
