#include "core/base/median.h"

#include <algorithm>
#include <numeric>

#include "core/base/check.h"

namespace sluice {

double Median(std::vector<double> values) {
  SLUICE_CHECK(!values.empty());
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

size_t MedianIndex(const std::vector<double>& values) {
  SLUICE_CHECK(!values.empty());
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return values[a] < values[b]; });
  return order[(values.size() - 1) / 2];
}

}  // namespace sluice
