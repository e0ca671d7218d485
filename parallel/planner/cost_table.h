// Measured times as functions of a size: interpolation between the points of a table, and rates of
// attention on a grid of slice_len x prefix_len.
#pragma once

#include <cstdint>
#include <map>

namespace sluice {

// Seconds by number of tokens. Kernels compute in tiles, so that times are a staircase: a table
// with a point at every multiple of the tile is exact for these sizes.
class StairTable {
 public:
  void Add(int64_t num_tokens, double seconds) { seconds_[num_tokens] = seconds; }
  bool empty() const { return seconds_.empty(); }

  // Linear between two points; below the first point, its seconds; beyond the last one, its seconds
  // per token.
  double At(int64_t num_tokens) const;

 private:
  std::map<int64_t, double> seconds_;
};

// Rates by slice_len and prefix_len. Not every pair has to be there.
class RateGrid {
 public:
  void Add(int64_t slice_len, int64_t prefix_len, double rate) {
    rows_[slice_len][prefix_len] = rate;
  }
  bool empty() const { return rows_.empty(); }

  // Linear in log(slice_len) and in log(64 + prefix_len) between the nearest points, and constant
  // outside them.
  double At(int64_t slice_len, int64_t prefix_len) const;

 private:
  std::map<int64_t, std::map<int64_t, double>> rows_;
};

}  // namespace sluice
