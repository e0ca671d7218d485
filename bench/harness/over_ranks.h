// Sums, maxima and means of a number over all ranks of a communicator. All ranks make the same
// call, and all get the result.
#pragma once

#include <cstdint>
#include <vector>

#include "parallel/comm/communicator.h"

namespace sluice {

double SumOverRanks(Communicator& world, double value);
int64_t SumOverRanks(Communicator& world, int64_t value);
double MaxOverRanks(Communicator& world, double value);
int64_t MaxOverRanks(Communicator& world, int64_t value);

// Element by element; the vectors have the same size on all ranks.
std::vector<double> MaxOverRanks(Communicator& world, std::vector<double> values);
std::vector<double> MeanOverRanks(Communicator& world, std::vector<double> values);

}  // namespace sluice
