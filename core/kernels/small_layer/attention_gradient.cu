// The kernel of attention_gradient.h.
//
// Shapes: T positions of the slice, P pairs of a sequence and a head, D head_dim; qkv and dqkv
// [T, P, 3, D], out and dout [T, P, D], lse [T, P].

#include <algorithm>

#include "core/base/check.h"
#include "core/device/cuda/cuda_check.h"
#include "core/kernels/cuda/dependent_launch.cuh"
#include "core/kernels/cuda/launch.h"
#include "core/kernels/cuda/tile_product.cuh"
#include "core/kernels/small_layer/attention_gradient.h"
#include "core/kernels/small_layer/piggybacked_gradients.cuh"

namespace sluice::cuda {

// Positions of which a warp takes one chunk of 16.
inline constexpr int kPositionsOfChunks = kTileRows * kTileWarps;

// What a kernel is compiled for: head_dim, or 0 where that is known at run time only, and the
// chunks of 16 positions that a warp takes at most.
template <int kHeadDimValue, int kMaxChunksValue>
struct CompiledSizes {
  static constexpr int kHeadDim = kHeadDimValue;
  static constexpr int kMaxChunks = kMaxChunksValue;
};
using ShortSizes = CompiledSizes<64, 1>;  // several times shorter code
using AnySizes = CompiledSizes<0, kMaxAttentionGradientLen / kPositionsOfChunks>;

__host__ __device__ constexpr int NumPositionTiles(int slice_len) {
  return (slice_len + kTileRows - 1) / kTileRows;
}

// Which gradient a block makes: "own" are its 16 positions, "other" those they are multiplied with.
enum class Gradient : uint8_t { kQuery, kKey, kValue };
inline constexpr int kNumGradients = 3;

// Shared memory of a block.  The first two tiles hold own rows: q and dout for kQuery, else k and
// v; the next two those of the others: k and v, or q and dout.  For kValue v and out are not
// needed.
template <typename T>
struct AttentionGradientMemory {
  T* own[2];     // [16, head_dim] each
  T* other[2];   // [all, head_dim] each
  T* out;        // [all, head_dim] at the queries, own or others
  float* lse2;   // [all] at the queries: lse in units of log 2
  float* delta;  // [all]: sum of dout * out
  float* sums;   // of the warps

  __device__ AttentionGradientMemory(const AttentionShape& shape, unsigned char* memory) {
    const int rows = NumPositionTiles(shape.slice_len) * kTileRows;
    const int stride = TileStride(shape.head_dim);
    own[0] = reinterpret_cast<T*>(memory);
    own[1] = own[0] + kTileRows * stride;
    other[0] = own[1] + kTileRows * stride;
    other[1] = other[0] + rows * stride;
    out = other[1] + rows * stride;
    lse2 = reinterpret_cast<float*>(out + rows * stride);
    delta = lse2 + rows;
    sums = delta + rows;
  }
};

// What the pointers above span: AttentionGradientSharedBytes must give the same.
constexpr int64_t SpannedBytes(int slice_len, int head_dim) {
  const int64_t rows = NumPositionTiles(slice_len) * kTileRows;
  return (2 * kTileRows + 3 * rows) * TileStride(head_dim) * 2 + 2 * rows * 4 +
         PartialSums::SizeBytes(head_dim);
}
static_assert(SpannedBytes(1, 16) == AttentionGradientSharedBytes(1, 16));
static_assert(SpannedBytes(128, 64) == AttentionGradientSharedBytes(128, 64));
static_assert(SpannedBytes(256, 128) == AttentionGradientSharedBytes(256, 128));

template <typename T, Gradient kGradient, typename Sizes>
class AttentionGradientTile {
 public:
  __device__ AttentionGradientTile(const AttentionBackwardParams& params, int tile, int pair,
                                   unsigned char* memory)
      : p_(params),
        shape_(params.shape),
        first_(tile * kTileRows),
        pair_(pair),
        first_chunk_(kIsQuery ? 0 : tile),
        num_chunks_(kIsQuery ? tile + 1 : NumPositionTiles(params.shape.slice_len) - tile),
        memory_(params.shape, memory) {}

  // Before the wait: what needs only what the forward has written, up to the softmax.
  __device__ void Run() {
    LoadAsync();
    LoadStatistics();
    WaitForAllCopies();
    __syncthreads();
    float probabilities[Sizes::kMaxChunks][2][4];
#pragma unroll
    for (int i = 0; i < Sizes::kMaxChunks; ++i) {
      const int chunk = WarpIndex() + i * kTileWarps;
      if (chunk < num_chunks_) MakeProbabilities(chunk, probabilities[i]);
    }
    WaitForPreviousKernels();
    LoadGradientRows();
    __syncthreads();
    uint32_t left[Sizes::kMaxChunks][4];
#pragma unroll
    for (int i = 0; i < Sizes::kMaxChunks; ++i) {
      const int chunk = WarpIndex() + i * kTileWarps;
      if (chunk < num_chunks_) MakeLeft(chunk, probabilities[i], left[i]);
    }
    StoreProduct(left);
  }

 private:
  static constexpr bool kIsQuery = kGradient == Gradient::kQuery;
  __device__ int head_dim() const {
    return Sizes::kHeadDim > 0 ? Sizes::kHeadDim : shape_.head_dim;
  }
  __device__ int stride() const { return TileStride(head_dim()); }
  static constexpr bool kIsValue = kGradient == Gradient::kValue;

  // Chunk c of the others begins at this position, and at this row of their tiles.
  __device__ int ChunkBegin(int chunk) const { return (first_chunk_ + chunk) * kTileRows; }

  // Rows of q, k or v (role 0, 1, 2) of the pair.
  __device__ void CopyRole(T* to, int role, int begin, int num_rows) const {
    const int64_t row_stride = int64_t{3} * shape_.num_pairs * head_dim();
    const T* from = static_cast<const T*>(p_.qkv) + begin * row_stride +
                    (int64_t{3} * pair_ + role) * head_dim();
    CopyRowsAsync<8>(to, stride(), {num_rows, head_dim()},
                     GlobalRows<T>{from, row_stride, shape_.slice_len - begin});
  }

  __device__ int first_query() const { return kIsQuery ? first_ : ChunkBegin(0); }
  __device__ int num_queries() const { return kIsQuery ? kTileRows : num_chunks_ * kTileRows; }

  // All but dout.
  __device__ void LoadAsync() const {
    const int first_other = ChunkBegin(0);
    const int num_others = num_chunks_ * kTileRows;
    CopyRole(memory_.own[0], kIsQuery ? 0 : 1, first_, kTileRows);
    if constexpr (kIsQuery) {
      CopyRole(memory_.other[0], 1, first_other, num_others);
      CopyRole(memory_.other[1], 2, first_other, num_others);
    } else {
      if constexpr (!kIsValue) CopyRole(memory_.own[1], 2, first_, kTileRows);
      CopyRole(memory_.other[0], 0, first_other, num_others);
    }
    if constexpr (kIsValue) return;
    const int64_t row_stride = int64_t{shape_.num_pairs} * head_dim();
    const T* out =
        static_cast<const T*>(p_.out) + first_query() * row_stride + int64_t{pair_} * head_dim();
    CopyRowsAsync<8>(memory_.out, stride(), {num_queries(), head_dim()},
                     GlobalRows<T>{out, row_stride, shape_.slice_len - first_query()});
  }

  // An infinite lse makes queries beyond the last contribute nothing.
  __device__ void LoadStatistics() const {
    for (int row = static_cast<int>(threadIdx.x); row < num_queries(); row += kTileThreads) {
      const int query = first_query() + row;
      memory_.lse2[row] = query < shape_.slice_len
                              ? p_.lse[int64_t{query} * shape_.num_pairs + pair_] * kLog2e
                              : kInfinity;
    }
  }

  // dout at the queries, and its product with out.
  __device__ void LoadGradientRows() const {
    if (head_dim() <= 64) {
      LoadGradientRowsBy<8>();
    } else {
      LoadGradientRowsBy<16>();
    }
  }

  // kLanes neighbouring threads take a row.  All loads are under way before the first is used.
  template <int kLanes>
  __device__ void LoadGradientRowsBy() const {
    constexpr int kRowsAtOnce = kTileThreads / kLanes;
    constexpr int kBatch = kIsQuery ? 1 : 4;
    const int column = static_cast<int>(threadIdx.x) % kLanes * 8;
    for (int begin = static_cast<int>(threadIdx.x) / kLanes; begin < num_queries();
         begin += kBatch * kRowsAtOnce) {
      uint4 rows[kBatch];
#pragma unroll
      for (int i = 0; i < kBatch; ++i) rows[i] = LoadGradientRow(begin + i * kRowsAtOnce, column);
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        // Whole warps agree, as there are 16 rows or a multiple.
        if (begin + i * kRowsAtOnce < num_queries()) {
          StoreGradientRow<kLanes>(rows[i], begin + i * kRowsAtOnce, column);
        }
      }
    }
  }

  __device__ uint4 LoadGradientRow(int row, int column) const {
    const int query = first_query() + row;
    if (query >= shape_.slice_len || column >= head_dim()) return {0, 0, 0, 0};
    const int64_t at = int64_t{query} * shape_.num_pairs + pair_;
    return *reinterpret_cast<const uint4*>(static_cast<const T*>(p_.dout) + at * head_dim() +
                                           column);
  }

  template <int kLanes>
  __device__ void StoreGradientRow(const uint4& dout, int row, int column) const {
    T* dout_tile = kIsQuery ? memory_.own[1] : memory_.other[1];
    if (column < head_dim()) {
      *reinterpret_cast<uint4*>(dout_tile + row * stride() + column) = dout;
    }
    if constexpr (kIsValue) return;
    float delta = 0;
    if (column < head_dim()) {
      delta = Dot(dout, *reinterpret_cast<const uint4*>(memory_.out + row * stride() + column));
    }
    delta = GroupSum<kLanes>(delta);
    if (column == 0) memory_.delta[row] = delta;
  }

  __device__ static float Dot(const uint4& x, const uint4& y) {
    const T* a = reinterpret_cast<const T*>(&x);
    const T* b = reinterpret_cast<const T*>(&y);
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) sum = fmaf(ToFloat(a[i]), ToFloat(b[i]), sum);
    return sum;
  }

  // product[16 own, 16 of the chunk] = own (rows of the chunk)^T
  __device__ void MultiplyChunk(float (&product)[2][4], const T* own, const T* rows) const {
#pragma unroll 4
    for (int k = 0; k < head_dim(); k += 16) {
      uint32_t left[4];
      uint32_t right[4];
      LoadLeft(left, own + k, stride());
      LoadRightTransposed(right, rows + k, stride());
      MultiplyAccumulate<T>(product[0], left, right[0], right[1]);
      MultiplyAccumulate<T>(product[1], left, right[2], right[3]);
    }
  }

  // At element i of tile n of a lane's scores: its own row and that of the chunk.
  __device__ static int Own(int i) { return LaneIndex() / 4 + i / 2 * 8; }
  __device__ static int Other(int n, int i) { return n * 8 + LaneIndex() % 4 * 2 + i % 2; }
  // Where the statistics of their query are.
  __device__ static int Statistics(int chunk, int n, int i) {
    return kIsQuery ? Own(i) : chunk * kTileRows + Other(n, i);
  }

  // The softmax of the own positions with those of a chunk.
  __device__ void MakeProbabilities(int chunk, float (&p)[2][4]) const {
    float scores[2][4] = {};
    MultiplyChunk(scores, memory_.own[0], memory_.other[0] + chunk * kTileRows * stride());
    const float scale2 = rsqrtf(static_cast<float>(head_dim())) * kLog2e;
#pragma unroll
    for (int n = 0; n < 2; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int own_position = first_ + Own(i);
        const int other_position = ChunkBegin(chunk) + Other(n, i);
        const bool visible =
            kIsQuery ? other_position <= own_position : own_position <= other_position;
        const float lse2 = memory_.lse2[Statistics(chunk, n, i)];
        p[n][i] = visible ? Exp2(fmaf(scores[n][i], scale2, -lse2)) : 0.0f;
      }
    }
  }

  // The left operand of the product over a chunk: p for kValue, else ds = p * (dp - delta).
  __device__ void MakeLeft(int chunk, const float (&p)[2][4], uint32_t (&left)[4]) const {
    float factor[2][4] = {};
    if constexpr (!kIsValue) {
      MultiplyChunk(factor, memory_.own[1], memory_.other[1] + chunk * kTileRows * stride());
    }
#pragma unroll
    for (int n = 0; n < 2; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        factor[n][i] =
            kIsValue ? p[n][i] : p[n][i] * (factor[n][i] - memory_.delta[Statistics(chunk, n, i)]);
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        left[2 * n + half] = Pack<T>(factor[n][2 * half], factor[n][2 * half + 1]);
      }
    }
  }

  // dqkv of the own positions: left[16, others] rows[others, head_dim].
  __device__ void StoreProduct(const uint32_t (&left)[Sizes::kMaxChunks][4]) const {
    const T* rows = memory_.other[kIsValue ? 1 : 0];
    PartialSums sums(memory_.sums, head_dim());
    for (int column = 0; column < head_dim(); column += 16) {
      float product[2][4] = {};
#pragma unroll
      for (int i = 0; i < Sizes::kMaxChunks; ++i) {
        const int chunk = WarpIndex() + i * kTileWarps;
        if (chunk >= num_chunks_) break;
        uint32_t right[4];
        LoadRight(right, rows + chunk * kTileRows * stride() + column, stride());
        MultiplyAccumulate<T>(product[0], left[i], right[0], right[1]);
        MultiplyAccumulate<T>(product[1], left[i], right[2], right[3]);
      }
      sums.Store(column, product[0]);
      sums.Store(column + 8, product[1]);
    }
    __syncthreads();
    constexpr int kThreadsPerRow = kTileThreads / kTileRows;
    constexpr int kRole = static_cast<int>(kGradient);  // q, k, v
    const int row = static_cast<int>(threadIdx.x) / kThreadsPerRow;
    if (first_ + row >= shape_.slice_len) return;
    const float scale = kIsValue ? 1.0f : rsqrtf(static_cast<float>(head_dim()));
    T* dqkv = static_cast<T*>(p_.dqkv) +
              ((int64_t{first_ + row} * shape_.num_pairs + pair_) * 3 + kRole) * head_dim();
    for (int column = static_cast<int>(threadIdx.x) % kThreadsPerRow * 2; column < head_dim();
         column += 2 * kThreadsPerRow) {
      const float2 sum = sums.Sum(row, column, min(num_chunks_, kTileWarps));
      *reinterpret_cast<uint32_t*>(dqkv + column) = Pack<T>(sum.x * scale, sum.y * scale);
    }
  }

  const AttentionBackwardParams& p_;
  const AttentionShape& shape_;
  int first_;
  int pair_;
  int first_chunk_;
  int num_chunks_;
  AttentionGradientMemory<T> memory_;
};

// dq, dk and dv of all positions and pairs.
__host__ __device__ inline int NumAttentionTiles(const AttentionShape& shape) {
  return kNumGradients * NumPositionTiles(shape.slice_len) * shape.num_pairs;
}

template <typename T, typename Sizes>
__global__ void __launch_bounds__(kTileThreads, 3)
    AttentionGradientKernel(const __grid_constant__ AttentionBackwardParams params,
                            const __grid_constant__ PiggybackedGradients<T> extra) {
  AllowNextKernel();
  extern __shared__ __align__(128) unsigned char memory[];
  const int block = static_cast<int>(blockIdx.x);
  const int num_tiles = NumAttentionTiles(params.shape);
  if (block >= num_tiles) return RunPiggybackedBlock(extra, block - num_tiles, memory);
  const int pair = block / kNumGradients % params.shape.num_pairs;
  const int tile = block / kNumGradients / params.shape.num_pairs;
  switch (static_cast<Gradient>(block % kNumGradients)) {
    case Gradient::kQuery:
      return AttentionGradientTile<T, Gradient::kQuery, Sizes>(params, tile, pair, memory).Run();
    case Gradient::kKey:
      return AttentionGradientTile<T, Gradient::kKey, Sizes>(params, tile, pair, memory).Run();
    case Gradient::kValue:
      return AttentionGradientTile<T, Gradient::kValue, Sizes>(params, tile, pair, memory).Run();
  }
}

template <typename T>
void LaunchAttentionGradient(const AttentionBackwardParams& params,
                             const PiggybackedGradients<T>& extra, const ChainLaunch& launch) {
  SLUICE_CHECK_LE(params.shape.slice_len, kMaxAttentionGradientLen);
  SLUICE_CHECK(params.shape.prefix_len == 0 && params.write_mode == WriteMode::kOverwrite);
  const bool is_short = params.shape.head_dim == ShortSizes::kHeadDim &&
                        params.shape.slice_len <= ShortSizes::kMaxChunks * kPositionsOfChunks;
  const auto kernel =
      is_short ? &AttentionGradientKernel<T, ShortSizes> : &AttentionGradientKernel<T, AnySizes>;
  const int shared_bytes = std::max(
      static_cast<int>(AttentionGradientSharedBytes(params.shape.slice_len, params.shape.head_dim)),
      PiggybackedSharedBytes(extra));
  AllowSharedBytes(kernel, shared_bytes);
  const int num_blocks = NumAttentionTiles(params.shape) + NumPiggybackedBlocks(extra);
  LaunchOverlapped(kernel,
                   {.grid = static_cast<unsigned>(num_blocks),
                    .block = kTileThreads,
                    .shared_bytes = static_cast<size_t>(shared_bytes),
                    .start = launch.start},
                   launch.stream, params, extra);
  SLUICE_CUDA_CHECK_LAUNCH("AttentionGradient");
}

template void LaunchAttentionGradient<__nv_bfloat16>(const AttentionBackwardParams&,
                                                     const PiggybackedGradients<__nv_bfloat16>&,
                                                     const ChainLaunch&);
template void LaunchAttentionGradient<__half>(const AttentionBackwardParams&,
                                              const PiggybackedGradients<__half>&,
                                              const ChainLaunch&);

}  // namespace sluice::cuda
