// One point's result as one line of JSON, which says on its own under what conditions it was found.
//
//   {"schema":1,"program":"grid_forward","commit":"...",...,"num_layers":3,...,"median_ns":...}
//
// docs/grid_search.md lists the fields.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bench/grid/forward_stack.h"

namespace sluice {

inline constexpr int kGridSchema = 1;

// What must be the same for all results of a file: names and values, in the order of the line.
using GridConditions = std::vector<std::pair<std::string, std::string>>;

enum class PointStatus { kMeasured, kOutOfMemory };

struct GridRecord {
  GridPoint point;
  PointStatus status = PointStatus::kMeasured;
  int64_t needed_bytes = 0;

  // Where it was measured:
  int64_t median_ns = 0, min_ns = 0, max_ns = 0;
  int64_t flops = 0;               // of one forward
  double ceiling_flops_per_s = 0;  // this machine's rate of a large square product

  // Where it needs more memory than there is:
  int64_t available_bytes = 0;

  double flops_per_s() const { return flops_per_s(median_ns); }
  double flops_per_s(int64_t elapsed_ns) const {
    return static_cast<double>(flops) / (static_cast<double>(elapsed_ns) * 1e-9);
  }

  bool operator==(const GridRecord&) const = default;
};

std::string FormatRecord(const GridConditions& conditions, const GridRecord& record);

// The record of a line.  Throws Error when it is no such line or of another schema, or naming the
// first condition that differs, with both values.
GridRecord ParseRecord(const GridConditions& conditions, const std::string& line);

}  // namespace sluice
