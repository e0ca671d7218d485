#include "core/kernels/matmul/matmul_cpu.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/kernels/cpu/gemm.h"

namespace sluice::cpu {
namespace {

// Rows and columns of a result that one thread computes.
struct Tile {
  int64_t row_begin, row_end, column_begin, column_end;

  int64_t num_rows() const { return row_end - row_begin; }
  int64_t num_columns() const { return column_end - column_begin; }
};

// Columns of a tile of Gemm, so that tiles stay whole.
constexpr int64_t kGrain = 32;

// Calls work(tile, scratch of the thread) on each thread's share of a [num_rows, num_columns]
// result, split along its longer side.
template <typename T, typename Work>
void ForEachTile(ThreadPool& pool, T* scratch, int64_t num_rows, int64_t num_columns,
                 const Work& work) {
  const bool splits_rows = num_rows >= num_columns;
  pool.ParallelForByWorker(
      splits_rows ? num_rows : num_columns, kGrain, [&](int worker, int64_t begin, int64_t end) {
        const Tile tile =
            splits_rows ? Tile{begin, end, 0, num_columns} : Tile{0, num_rows, begin, end};
        work(tile, scratch + worker * GemmScratchSize<T>());
      });
}

int64_t NumTokens(const Tensor& x, int64_t num_features) {
  SLUICE_CHECK_EQ(x.num_elements() % num_features, 0);
  return x.num_elements() / num_features;
}

// out = bias + residual over the tile, whichever are present; nothing is done where neither is.
template <typename T>
void FillTile(const LinearForwardArgs& args, const Tile& tile, int64_t row_stride) {
  const T* bias = args.bias.present() ? args.bias.Data<T>() : nullptr;
  for (int64_t row = tile.row_begin; row < tile.row_end; ++row) {
    T* out = args.out.Data<T>() + row * row_stride;
    if (args.residual.present()) {
      const T* residual = args.residual.Data<T>() + row * row_stride;
#pragma omp simd
      for (int64_t i = tile.column_begin; i < tile.column_end; ++i) {
        out[i] = residual[i] + (bias != nullptr ? bias[i] : T{0});
      }
    } else {
      std::copy(bias + tile.column_begin, bias + tile.column_end, out + tile.column_begin);
    }
  }
}

template <typename T>
void ReluTile(const LinearForwardArgs& args, const Tile& tile, int64_t row_stride) {
  for (int64_t row = tile.row_begin; row < tile.row_end; ++row) {
    T* out = args.out.Data<T>() + row * row_stride;
    // Written so that NaN stays NaN.
#pragma omp simd
    for (int64_t i = tile.column_begin; i < tile.column_end; ++i) out[i] = out[i] < 0 ? 0 : out[i];
  }
}

}  // namespace

template <typename T>
void LinearForward(ThreadPool& pool, const LinearForwardArgs& args, T* scratch) {
  const int64_t n = args.weight.shape()[0];
  const int64_t k = args.weight.shape()[1];
  const int64_t m = NumTokens(args.x, k);
  SLUICE_CHECK_EQ(args.out.num_elements(), m * n);
  SLUICE_CHECK(args.activation == Activation::kNone || !args.residual.present());
  const bool starts_filled = args.bias.present() || args.residual.present();
  ForEachTile(pool, scratch, m, n, [&](const Tile& tile, T* tile_scratch) {
    if (starts_filled) FillTile<T>(args, tile, n);
    Gemm<T>({tile.num_rows(), tile.num_columns(), k}, 1, {args.x.Data<T>() + tile.row_begin * k, k},
            {args.weight.Data<T>() + tile.column_begin * k, k, Transpose::kYes},
            starts_filled ? WriteMode::kAccumulate : WriteMode::kOverwrite,
            {args.out.Data<T>() + tile.row_begin * n + tile.column_begin, n}, tile_scratch);
    if (args.activation == Activation::kRelu) ReluTile<T>(args, tile, n);
  });
}

template <typename T>
void LinearBackwardInput(ThreadPool& pool, const LinearBackwardInputArgs& args, T* scratch) {
  const int64_t n = args.weight.shape()[0];
  const int64_t k = args.weight.shape()[1];
  const int64_t m = NumTokens(args.dout, n);
  SLUICE_CHECK_EQ(args.dx.num_elements(), m * k);
  ForEachTile(pool, scratch, m, k, [&](const Tile& tile, T* tile_scratch) {
    T* dx = args.dx.Data<T>() + tile.row_begin * k;
    Gemm<T>({tile.num_rows(), tile.num_columns(), n}, 1,
            {args.dout.Data<T>() + tile.row_begin * n, n},
            {args.weight.Data<T>() + tile.column_begin, k}, WriteMode::kOverwrite,
            {dx + tile.column_begin, k}, tile_scratch);
    if (!args.relu_out.present()) return;
    const T* relu_out = args.relu_out.Data<T>() + tile.row_begin * k;
    for (int64_t row = 0; row < tile.num_rows(); ++row, dx += k, relu_out += k) {
#pragma omp simd
      for (int64_t i = tile.column_begin; i < tile.column_end; ++i) {
        dx[i] = relu_out[i] <= 0 ? 0 : dx[i];
      }
    }
  });
}

namespace {

// dbias[begin .. end - 1] (+)= the column sums of dout [m, n].
template <typename T>
void SumColumns(const LinearBackwardWeightArgs& args, int64_t m, int64_t n, int64_t begin,
                int64_t end) {
  T* dbias = args.dbias.Data<T>();
  if (args.write_mode == WriteMode::kOverwrite) std::fill(dbias + begin, dbias + end, T{0});
  for (int64_t row = 0; row < m; ++row) {
    const T* dout = args.dout.Data<T>() + row * n;
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) dbias[i] += dout[i];
  }
}

}  // namespace

template <typename T>
void LinearBackwardWeight(ThreadPool& pool, const LinearBackwardWeightArgs& args, T* scratch) {
  const int64_t n = args.dweight.shape()[0];
  const int64_t k = args.dweight.shape()[1];
  const int64_t m = NumTokens(args.x, k);
  SLUICE_CHECK_EQ(args.dout.num_elements(), m * n);
  ForEachTile(pool, scratch, n, k, [&](const Tile& tile, T* tile_scratch) {
    Gemm<T>({tile.num_rows(), tile.num_columns(), m}, 1,
            {args.dout.Data<T>() + tile.row_begin, n, Transpose::kYes},
            {args.x.Data<T>() + tile.column_begin, k}, args.write_mode,
            {args.dweight.Data<T>() + tile.row_begin * k + tile.column_begin, k}, tile_scratch);
    // The first of the tiles in a row computes the sums.
    if (args.dbias.present() && tile.column_begin == 0) {
      SumColumns<T>(args, m, n, tile.row_begin, tile.row_end);
    }
  });
}

template void LinearForward<float>(ThreadPool&, const LinearForwardArgs&, float*);
template void LinearForward<double>(ThreadPool&, const LinearForwardArgs&, double*);
template void LinearBackwardInput<float>(ThreadPool&, const LinearBackwardInputArgs&, float*);
template void LinearBackwardInput<double>(ThreadPool&, const LinearBackwardInputArgs&, double*);
template void LinearBackwardWeight<float>(ThreadPool&, const LinearBackwardWeightArgs&, float*);
template void LinearBackwardWeight<double>(ThreadPool&, const LinearBackwardWeightArgs&, double*);

}  // namespace sluice::cpu
