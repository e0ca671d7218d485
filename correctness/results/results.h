// The results of a step as whole tensors on every rank, however the step was split.
//
//   Results results(plan, *backend.device, executor);   // watches the executor from now on
//   executor.RunStep();
//   results.Visit(world, [&](const std::string& name, std::span<const double> values) { ... });
//
// One tensor is whole at a time: each rank puts what it holds into zeros of the whole size, and the
// sum over ranks is the tensor.  What several ranks hold alike (replicated parameters, replicas of
// data parallelism) is put by one of them.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/device/device.h"
#include "core/model/initial_values.h"
#include "parallel/comm/communicator.h"
#include "parallel/exec/executor.h"
#include "parallel/exec/job.h"

namespace sluice {

using ResultVisitor = std::function<void(const std::string& name, std::span<const double> values)>;

class Results {
 public:
  // All must outlive this, and this must live as long as the executor runs steps.
  Results(const JobPlan& plan, Device& device, Executor& executor);
  ~Results();

  // Host memory of each rank that a visit takes.
  static int64_t HostBytes(const JobPlan& plan);

  Results(const Results&) = delete;
  Results& operator=(const Results&) = delete;

  // Calls `visit` on every rank with the results of the last step, float64, in the order of a
  // reference checkpoint: output [seq_len, batch_size, hidden_size], loss [1], and of a pass with a
  // backward grad.layers.{i}.{parameter} of the parameter's shape, last layer first, and grad.input
  // [seq_len, batch_size, hidden_size].  Gradients are those of the loss: its scale is taken off.
  // A collective of `world`, which moves host memory and has the executor's ranks.
  void Visit(Communicator& world, const ResultVisitor& visit);

 private:
  void Keep(std::vector<double>& whole, const Unit& unit, const Tensor& own_rows, double scale);
  bool Contributes(const ParameterSpec& parameter) const;
  std::vector<double> OwnGradient(int64_t layer, size_t index, const ParameterSpec& parameter);

  const JobPlan& plan_;
  Device& device_;
  Executor& executor_;
  Observer observer_;
  // Whole tensors, of which this rank's rows are filled.
  std::vector<double> output_, input_gradient_;
};

}  // namespace sluice
