#include "bench/harness/over_ranks.h"

#include <utility>

namespace sluice {
namespace {

double Reduce(Communicator& world, double value, ReduceOp op) {
  world.AllReduce({&value, 1, DType::kFloat64}, op);
  return value;
}

int64_t Reduce(Communicator& world, int64_t value, ReduceOp op) {
  world.AllReduce({&value, 1, ControlType::kInt64}, op);
  return value;
}

std::vector<double> Reduce(Communicator& world, std::vector<double> values, ReduceOp op) {
  world.AllReduce({values.data(), std::ssize(values), DType::kFloat64}, op);
  return values;
}

}  // namespace

double SumOverRanks(Communicator& world, double value) {
  return Reduce(world, value, ReduceOp::kSum);
}

int64_t SumOverRanks(Communicator& world, int64_t value) {
  return Reduce(world, value, ReduceOp::kSum);
}

double MaxOverRanks(Communicator& world, double value) {
  return Reduce(world, value, ReduceOp::kMax);
}

int64_t MaxOverRanks(Communicator& world, int64_t value) {
  return Reduce(world, value, ReduceOp::kMax);
}

std::vector<double> MaxOverRanks(Communicator& world, std::vector<double> values) {
  return Reduce(world, std::move(values), ReduceOp::kMax);
}

std::vector<double> MeanOverRanks(Communicator& world, std::vector<double> values) {
  if (values.empty()) return values;
  values = Reduce(world, std::move(values), ReduceOp::kSum);
  for (double& value : values) value /= world.world_size();
  return values;
}

}  // namespace sluice
