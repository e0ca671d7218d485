#include "parallel/planner/cost_table.h"

#include <cmath>
#include <iterator>

#include "core/base/check.h"

namespace sluice {
namespace {

// Linear between the neighbours of `key` in `points`, whose values `value_of` returns, on the axis
// `axis`; constant outside the points.
template <typename Map, typename ValueOf, typename Axis>
double Interpolate(const Map& points, int64_t key, const ValueOf& value_of, const Axis& axis) {
  const auto above = points.lower_bound(key);
  if (above == points.end()) return value_of(std::prev(above)->second);
  if (above == points.begin() || above->first == key) return value_of(above->second);
  const auto below = std::prev(above);
  const double weight =
      (axis(key) - axis(below->first)) / (axis(above->first) - axis(below->first));
  return (1 - weight) * value_of(below->second) + weight * value_of(above->second);
}

}  // namespace

double StairTable::At(int64_t num_tokens) const {
  SLUICE_CHECK(!seconds_.empty());
  const auto& [last_tokens, last_seconds] = *seconds_.rbegin();
  if (num_tokens > last_tokens) {
    return last_seconds * static_cast<double>(num_tokens) / static_cast<double>(last_tokens);
  }
  return Interpolate(
      seconds_, num_tokens, [](double seconds) { return seconds; },
      [](int64_t tokens) { return static_cast<double>(tokens); });
}

double RateGrid::At(int64_t slice_len, int64_t prefix_len) const {
  SLUICE_CHECK(!rows_.empty());
  const auto rate_of_row = [prefix_len](const std::map<int64_t, double>& row) {
    return Interpolate(
        row, prefix_len, [](double rate) { return rate; },
        [](int64_t prefix) { return std::log2(64 + static_cast<double>(prefix)); });
  };
  return Interpolate(rows_, slice_len, rate_of_row,
                     [](int64_t len) { return std::log2(static_cast<double>(len)); });
}

}  // namespace sluice
