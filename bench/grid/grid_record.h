// The result of one point as one line of JSON, which includes its conditions.
//
//   {"schema":1,"program":"grid_forward","commit":"...",...,"num_layers":3,...,"median_ns":...}
//
// docs/grid_search.md lists the fields.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "bench/grid/grid_point.h"

namespace sluice {

inline constexpr int kGridSchema = 1;

// The names and values that all results of a file have in common, in the order of the line.
using GridConditions = std::vector<std::pair<std::string, std::string>>;

enum class PointStatus { kMeasured, kOutOfMemory };

struct GridRecord {
  GridPoint point;
  PointStatus status = PointStatus::kMeasured;
  int64_t needed_bytes = 0;

  // If it was measured:
  int64_t median_ns = 0, min_ns = 0, max_ns = 0;
  int64_t flops = 0;               // of one forward
  double ceiling_flops_per_s = 0;  // this machine's rate of a large square product

  // If it needs more memory than there is:
  int64_t available_bytes = 0;

  // If it was measured: ContentionMetrics on the CPU, the conditions of the GPU on CUDA.
  std::map<std::string, double> counters = {};

  bool is_disturbed() const;

  double flops_per_s() const { return flops_per_s(median_ns); }
  double flops_per_s(int64_t elapsed_ns) const {
    return static_cast<double>(flops) / (static_cast<double>(elapsed_ns) * 1e-9);
  }

  bool operator==(const GridRecord&) const = default;
};

std::string FormatRecord(const GridConditions& conditions, const GridRecord& record);

// Parses a line. Throws Error if it is not such a line, if it has another schema, or if a condition
// differs; the message names the first one, with both values.
GridRecord ParseRecord(const GridConditions& conditions, const std::string& line);

}  // namespace sluice
