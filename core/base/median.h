// The median, the number that every table leads with.
#pragma once

#include <cstddef>
#include <vector>

namespace sluice {

// The median; of an even number of values, the mean of the two in the middle. `values` is not
// empty.
double Median(std::vector<double> values);

// The index of the value in the middle; for an even number of values, of the lower of the two.
// A repetition that really took place, unlike a mean of two.
size_t MedianIndex(const std::vector<double>& values);

}  // namespace sluice
