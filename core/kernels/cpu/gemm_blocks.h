// The own product of gemm.h, for any width of vectors; included by the source that is compiled for
// an instruction set, gemm_avx512.cc.
//
// c is computed in tiles of up to kMaxRows x kColumns elements, whose sums stay in registers while
// a panel of a [depth, rows] is multiplied by a panel of b [depth, kColumns].  Panels are copies in
// the order in which the tile's loop reads them; depth is at most kMaxDepth, so that a panel of b
// stays in the first-level cache.  Around the tile there are two orders:
//
//   down columns   a's panels are packed first and stay in the second-level cache.  Each panel of b
//                  is packed when its turn comes, and while it is used, the next one is prefetched:
//                  b may be large and come from memory once (the weights, where a are activations).
//   along rows     the other way round, and the next tile of c is prefetched: for sums that are so
//                  short that c is what most bytes are moved for (gradients of weights).
//
// `Isa` must be of an unnamed namespace, so that no function of two instruction sets can be taken
// for the same one:
//
//   struct Isa {
//     static constexpr int kVectorBytes;  // of a register
//     static constexpr int kMaxRows;      // of a tile; 2 kMaxRows + 3 registers are used
//   };
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "core/kernels/cpu/matrix.h"
#include "core/kernels/write_mode.h"

namespace sluice::cpu {

// The arguments of Gemm.
template <typename T>
struct GemmCall {
  GemmSize size;
  T alpha;
  Matrix<const T> a;
  Matrix<const T> b;
  WriteMode write_mode;
  Matrix<T> c;
  T* scratch;
};

inline constexpr int64_t kGemmCacheLineBytes = 64;
// Sizes of packed operands: a block of many panels, and a panel.
inline constexpr int64_t kGemmBlockBytes = 768 * 1024;
inline constexpr int64_t kGemmPanelBytes = 32 * 1024;
inline constexpr int64_t kGemmScratchBytes = kGemmBlockBytes + kGemmPanelBytes;
inline constexpr int64_t kGemmMaxDepth = 256;

template <typename Isa, typename T>
class GemmBlocks {
 public:
  explicit GemmBlocks(const GemmCall<T>& call) : call_(call) {}

  void Run() {
    const auto [m, n, k] = call_.size;
    if (m == 0 || n == 0) return;
    if (k == 0) return RunWithoutTerms();
    const int64_t num_passes = Ceil(k, kGemmMaxDepth);
    const int64_t depth = Ceil(Ceil(k, num_passes), kLine) * kLine;
    for (int64_t begin = 0; begin < k; begin += depth) {
      const bool accumulates = begin > 0 || call_.write_mode == WriteMode::kAccumulate;
      const Pass pass = {begin, Min(depth, k - begin), k > begin + depth, accumulates};
      num_passes == 1 ? AlongRows(pass) : DownColumns(pass);
    }
  }

 private:
  static constexpr int kWidth = Isa::kVectorBytes / static_cast<int>(sizeof(T));
  static constexpr int kVectors = 2;
  static constexpr int kColumns = kVectors * kWidth;
  static constexpr int kMaxRows = Isa::kMaxRows;
  // Elements between the steps of a panel of a: whole vectors.
  static constexpr int kPanelRows = (kMaxRows + kWidth - 1) / kWidth * kWidth;
  static constexpr int64_t kLine = kGemmCacheLineBytes / static_cast<int64_t>(sizeof(T));
  static constexpr int64_t kLinesPerRow = kColumns > kLine ? kColumns / kLine : 1;  // of a tile
  static constexpr int64_t kBlockSize = kGemmBlockBytes / static_cast<int64_t>(sizeof(T));
  // Rows of a in a block of panels, and columns of b.
  static constexpr int64_t kBlockRows = kBlockSize / 2 / kGemmMaxDepth;
  static constexpr int64_t kBlockColumns = kBlockSize / kGemmMaxDepth;
  // Steps of a tile's loop for each cache line that it prefetches: what memory keeps up with.
  static constexpr int64_t kStepsPerPrefetch = 4;

  static_assert(kBlockColumns % kColumns == 0);
  static_assert((kBlockRows + kMaxRows - 1) / kMaxRows * kPanelRows * kGemmMaxDepth <= kBlockSize);
  static_assert((kColumns > kPanelRows ? kColumns : kPanelRows) * kGemmMaxDepth *
                    static_cast<int64_t>(sizeof(T)) <=
                kGemmPanelBytes);

  using Vector [[gnu::vector_size(Isa::kVectorBytes), gnu::aligned(alignof(T)), gnu::may_alias]] =
      T;

  // Terms [begin, begin + depth) of all sums.
  struct Pass {
    int64_t begin;
    int64_t depth;
    bool has_next;
    bool accumulates;
  };

  struct Range {
    int64_t begin;
    int64_t end;
    int64_t size() const { return end - begin; }
  };

  // Cache lines to prefetch: some adjacent ones of each row, row after row.
  struct Prefetch {
    const T* data;
    int64_t lines_per_row = 1;
    int64_t row_stride = 0;
  };

  struct Tile {
    int64_t depth;
    const T* a;  // [depth, kPanelRows]
    const T* b;  // [depth, kColumns]
    T* c;
    int64_t c_stride;
    bool accumulates;
    T alpha;
    Prefetch prefetch;
  };

  static int64_t Min(int64_t x, int64_t y) { return x < y ? x : y; }
  static int64_t Ceil(int64_t x, int64_t divisor) { return (x + divisor - 1) / divisor; }
  // The index-th of `count` nearly equal parts of 0 .. size - 1.
  static Range Part(int64_t size, int64_t index, int64_t count) {
    return {size * index / count, size * (index + 1) / count};
  }

  static Vector Load(const T* from) { return *reinterpret_cast<const Vector*>(from); }
  static void Store(T* to, const Vector& x) { *reinterpret_cast<Vector*>(to) = x; }

  void RunWithoutTerms() const {
    if (call_.write_mode == WriteMode::kAccumulate) return;
    for (int64_t i = 0; i < call_.size.m; ++i) {
      for (int64_t j = 0; j < call_.size.n; ++j) call_.c.data[i * call_.c.row_stride + j] = 0;
    }
  }

  void DownColumns(const Pass& pass) const {
    const auto [m, n, k] = call_.size;
    T* const b_panel = call_.scratch;
    T* const a_panels = call_.scratch + kGemmPanelBytes / static_cast<int64_t>(sizeof(T));
    const int64_t num_blocks = Ceil(m, kBlockRows);
    for (int64_t block = 0; block < num_blocks; ++block) {
      const Range rows = Part(m, block, num_blocks);
      const int64_t num_panels = Ceil(rows.size(), kMaxRows);
      for (int64_t i = 0; i < num_panels; ++i) {
        const Range part = Part(rows.size(), i, num_panels);
        PackA({rows.begin + part.begin, rows.begin + part.end}, pass,
              a_panels + i * kPanelRows * pass.depth);
      }
      for (int64_t column = 0; column < n; column += kColumns) {
        const int64_t num_columns = Min(kColumns, n - column);
        PackB(column, num_columns, pass, b_panel);
        const bool is_last = column + kColumns >= n;
        const bool ends_pass = is_last && block + 1 == num_blocks;
        const Pass next = {ends_pass ? pass.begin + pass.depth : pass.begin, pass.depth, false,
                           false};
        for (int64_t i = 0; i < num_panels; ++i) {
          const Range part = Part(rows.size(), i, num_panels);
          Prefetch prefetch = {b_panel};
          if (!ends_pass || pass.has_next) {
            prefetch = NextOfB(is_last ? 0 : column + kColumns, next, i, b_panel);
          }
          RunTile(part.size(), num_columns,
                  {pass.depth, a_panels + i * kPanelRows * pass.depth, b_panel,
                   C(rows.begin + part.begin, column), call_.c.row_stride, pass.accumulates,
                   call_.alpha, prefetch});
        }
      }
    }
  }

  void AlongRows(const Pass& pass) const {
    const auto [m, n, k] = call_.size;
    T* const a_panel = call_.scratch;
    T* const b_panels = call_.scratch + kGemmPanelBytes / static_cast<int64_t>(sizeof(T));
    const int64_t num_panels = Ceil(m, kMaxRows);
    for (int64_t begin = 0; begin < n; begin += kBlockColumns) {
      const int64_t end = Min(begin + kBlockColumns, n);
      for (int64_t column = begin; column < end; column += kColumns) {
        PackB(column, Min(kColumns, end - column), pass, b_panels + (column - begin) * pass.depth);
      }
      for (int64_t i = 0; i < num_panels; ++i) {
        const Range rows = Part(m, i, num_panels);
        PackA(rows, pass, a_panel);
        for (int64_t column = begin; column < end; column += kColumns) {
          const Prefetch next_of_c = {C(rows.begin, column) + kColumns, kLinesPerRow,
                                      call_.c.row_stride};
          RunTile(
              rows.size(), Min(kColumns, end - column),
              {pass.depth, a_panel, b_panels + (column - begin) * pass.depth, C(rows.begin, column),
               call_.c.row_stride, pass.accumulates, call_.alpha, next_of_c});
        }
      }
    }
  }

  T* C(int64_t row, int64_t column) const {
    return call_.c.data + row * call_.c.row_stride + column;
  }

  void PackA(const Range& rows, const Pass& pass, T* to) const {
    const auto [data, stride, transpose] = call_.a;
    if (transpose == Transpose::kYes) {
      CopyRows<kPanelRows>(data + pass.begin * stride + rows.begin, stride, rows.size(), pass.depth,
                           to);
    } else {
      CopyTransposed<kPanelRows>(data + rows.begin * stride + pass.begin, stride, rows.size(),
                                 pass.depth, to);
    }
  }

  void PackB(int64_t column, int64_t num_columns, const Pass& pass, T* to) const {
    const auto [data, stride, transpose] = call_.b;
    if (transpose == Transpose::kYes) {
      CopyTransposed<kColumns>(data + column * stride + pass.begin, stride, num_columns, pass.depth,
                               to);
    } else {
      CopyRows<kColumns>(data + pass.begin * stride + column, stride, num_columns, pass.depth, to);
    }
  }

  // The share of the index-th tile in prefetching the panel of b at `column`, whose
  // kColumns * depth elements take kTilesPerPanel tiles.
  Prefetch NextOfB(int64_t column, const Pass& pass, int64_t index, const T* otherwise) const {
    constexpr int64_t kTilesPerPanel = kStepsPerPrefetch * kColumns / kLine;
    if (index >= kTilesPerPanel) return {otherwise};
    const auto [data, stride, transpose] = call_.b;
    if (transpose == Transpose::kYes) {
      const int64_t row = column + kColumns / kTilesPerPanel * index;
      return {data + row * stride + pass.begin, Ceil(pass.depth, kLine), stride};
    }
    const int64_t row = pass.begin + pass.depth / kTilesPerPanel * index;
    return {data + row * stride + column, kLinesPerRow, stride};
  }

  // to[p, i] = from[p, i] for i < num_columns.  The columns of `to` beyond hold what the results
  // that are kept do not come from.
  template <int kStride>
  [[gnu::noinline]] static void CopyRows(const T* from, int64_t stride, int64_t num_columns,
                                         int64_t num_rows, T* to) {
    int64_t p = 0;
    // What vectors read beyond a row belongs to the next one, which the last row does not have.
    const bool reads_next = num_columns < kStride;
    if (!reads_next || stride + num_columns >= kStride) {
      for (; p < (reads_next ? num_rows - 1 : num_rows); ++p) {
        for (int i = 0; i < kStride; i += kWidth) {
          Store(to + p * kStride + i, Load(from + p * stride + i));
        }
      }
    }
    for (; p < num_rows; ++p) {
      for (int64_t i = 0; i < kStride; ++i) {
        to[p * kStride + i] = i < num_columns ? from[p * stride + i] : T{0};
      }
    }
  }

  // to[p, i] = from[i, p] for i < num_rows.  The columns of `to` beyond hold what the results that
  // are kept do not come from.
  template <int kStride>
  [[gnu::noinline]] static void CopyTransposed(const T* from, int64_t stride, int64_t num_rows,
                                               int64_t num_columns, T* to) {
    int64_t p = 0;
    for (; p + kWidth <= num_columns; p += kWidth) {
      for (int64_t i = 0; i < kStride; i += kWidth) {
        Vector square[kWidth];
#pragma GCC unroll 16
        for (int r = 0; r < kWidth; ++r) {
          square[r] = Load(from + Min(i + r, num_rows - 1) * stride + p);
        }
        TransposeSquare(square);
#pragma GCC unroll 16
        for (int r = 0; r < kWidth; ++r) Store(to + (p + r) * kStride + i, square[r]);
      }
    }
    for (; p < num_columns; ++p) {
      for (int64_t i = 0; i < kStride; ++i) {
        to[p * kStride + i] = i < num_rows ? from[i * stride + p] : T{0};
      }
    }
  }

  // Exchanges bit by bit the index of a row with that of a column.
  [[gnu::always_inline]] static void TransposeSquare(Vector* rows) {
    if constexpr (kWidth > 1) ExchangeBit<1>(rows, std::make_integer_sequence<int, kWidth>());
    if constexpr (kWidth > 2) ExchangeBit<2>(rows, std::make_integer_sequence<int, kWidth>());
    if constexpr (kWidth > 4) ExchangeBit<4>(rows, std::make_integer_sequence<int, kWidth>());
    if constexpr (kWidth > 8) ExchangeBit<8>(rows, std::make_integer_sequence<int, kWidth>());
  }

  template <int kBit, int... kLanes>
  [[gnu::always_inline]] static void ExchangeBit(Vector* rows,
                                                 std::integer_sequence<int, kLanes...>) {
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; ++i) {
      if (i & kBit) continue;
      const Vector x = rows[i], y = rows[i | kBit];
      rows[i] =
          __builtin_shufflevector(x, y, ((kLanes & kBit) ? (kLanes ^ kBit) + kWidth : kLanes)...);
      rows[i | kBit] =
          __builtin_shufflevector(x, y, ((kLanes & kBit) ? kLanes + kWidth : (kLanes ^ kBit))...);
    }
  }

  static void RunTile(int64_t num_rows, int64_t num_columns, const Tile& tile) {
    if (num_columns == kColumns) return MultiplyRows(num_rows, tile);
    T whole[kMaxRows * kColumns];
    Tile sums = tile;
    sums.c = whole;
    sums.c_stride = kColumns;
    sums.accumulates = false;
    sums.alpha = 1;
    MultiplyRows(num_rows, sums);
    for (int64_t i = 0; i < num_rows; ++i) {
      for (int64_t j = 0; j < num_columns; ++j) {
        T& c = tile.c[i * tile.c_stride + j];
        c = (tile.accumulates ? c : T{0}) + tile.alpha * whole[i * kColumns + j];
      }
    }
  }

  template <int kRows>
  [[gnu::noinline]] static void Multiply(const Tile& tile) {
    Vector sums[kRows][kVectors] = {};
    for (int i = 0; i < kRows; ++i) {
      __builtin_prefetch(tile.c + i * tile.c_stride, 1);
      __builtin_prefetch(tile.c + i * tile.c_stride + kColumns - 1, 1);
    }
    const T* a = tile.a;
    const T* b = tile.b;
    const T* next = tile.prefetch.data;
    const int64_t lines_per_row = tile.prefetch.lines_per_row;
    const int64_t to_next_row = tile.prefetch.row_stride - (lines_per_row - 1) * kLine;
    int64_t lines_left = lines_per_row;
    for (int64_t p = 0; p < tile.depth; p += kStepsPerPrefetch) {
      __builtin_prefetch(next, 0, 2);  // into the second-level cache
      const bool ends_row = --lines_left == 0;
      next += ends_row ? to_next_row : kLine;
      lines_left = ends_row ? lines_per_row : lines_left;
      const int64_t num_steps = Min(kStepsPerPrefetch, tile.depth - p);
      for (int64_t step = 0; step < num_steps; ++step, a += kPanelRows, b += kColumns) {
        Vector row[kVectors];
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) row[v] = Load(b + v * kWidth);
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
          for (int v = 0; v < kVectors; ++v) sums[i][v] += a[i] * row[v];
        }
      }
    }
    const T alpha = tile.alpha;  // read here, since no register is free in the loop
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        T* c = tile.c + i * tile.c_stride + v * kWidth;
        Store(c, tile.accumulates ? Load(c) + alpha * sums[i][v] : alpha * sums[i][v]);
      }
    }
  }

  template <int... kIndices>
  static constexpr auto MultiplyTable(std::integer_sequence<int, kIndices...>) {
    return std::array<void (*)(const Tile&), sizeof...(kIndices)>{&Multiply<kIndices + 1>...};
  }

  static void MultiplyRows(int64_t num_rows, const Tile& tile) {
    static constexpr auto kTable = MultiplyTable(std::make_integer_sequence<int, kMaxRows>());
    kTable[static_cast<size_t>(num_rows - 1)](tile);
  }

  const GemmCall<T>& call_;
};

}  // namespace sluice::cpu
