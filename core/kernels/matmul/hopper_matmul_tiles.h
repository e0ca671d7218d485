// The tiles that hopper_matmul.h has kernels for.
#pragma once

#include <tuple>

namespace sluice::cuda {

// Tiles of 256 rows: two consumer warpgroups, each of kBlocks times 64 rows.
template <int kColumns_>
struct HopperMatmulTile {
  static constexpr int kConsumers = 2;
  static constexpr int kBlocks = 2;
  static constexpr int kRows = kConsumers * kBlocks * 64;
  static constexpr int kColumns = kColumns_;
  static constexpr int kThreads = (kConsumers + 1) * 128;
  // A stage is 64 summed elements (128 bytes) of each row and column; as many as fit beside the
  // barriers into the 227 KiB that a block can have.
  static constexpr int kRowBytes = kRows * 128;
  static constexpr int kColumnBytes = kColumns * 128;
  static constexpr int kStages = 226 * 1024 / (kRowBytes + kColumnBytes);
  static constexpr int kAccumulators = kColumns / 2;  // of one thread, of each of kBlocks
};

// Columns that make 128 tiles of 1024 rows of 4800 and of 6400 columns (gpt2-1b).
using HopperMatmulTiles = std::tuple<HopperMatmulTile<152>, HopperMatmulTile<200>>;

}  // namespace sluice::cuda
