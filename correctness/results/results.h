// The results of a step as whole tensors on every rank, however the step was split.
//
//   Results results(plan, *backend.device, executor);   // watches the executor from now on
//   executor.RunStep();
//   results.Visit(world, [&](const Result& result) { ... });
//
// One tensor is whole at a time: each rank puts what it holds into zeros of the whole size, and the
// sum over ranks is the tensor.  What several ranks hold (replicated parameters, replicas of data
// parallelism, the rows of tensor-parallel ranks that do not split the sequence) is put by the
// first of them, and each other one compares its own copy with it.  All copies come from the same
// sums in the same order, so they must have the same bits.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/device/device.h"
#include "core/model/initial_values.h"
#include "parallel/comm/communicator.h"
#include "parallel/exec/executor.h"
#include "parallel/exec/job_plan.h"

namespace sluice {

// A copy that is not the tensor.
struct DifferentCopy {
  int rank = 0;           // that holds it, the first one
  double difference = 0;  // norm of what it is off by; NaN where it has NaNs
};

struct Result {
  std::string name;
  std::span<const double> values;
  std::optional<DifferentCopy> different_copy;
};

// "rank 2 holds another copy, off by 1.3e-02".
std::string Describe(const DifferentCopy& copy);

using ResultVisitor = std::function<void(const Result&)>;

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
  // What one rank holds of a tensor.
  struct Part {
    explicit Part(int64_t size) : values(static_cast<size_t>(size)), is_held(values.size()) {}

    std::vector<double> values;  // of the whole size; zeros where nothing is held
    std::vector<bool> is_held;   // by element
    bool is_first = true;        // of the ranks that hold this part
  };

  void Keep(Part& part, const Unit& unit, const Tensor& own_rows, double scale);
  bool HoldsFirst(const ParameterSpec& parameter) const;
  Part OwnGradient(int64_t layer, size_t index, const ParameterSpec& parameter);
  Part OwnLoss();
  void SumAndVisit(Communicator& world, const std::string& name, const Part& part,
                   const ResultVisitor& visit);

  const JobPlan& plan_;
  Device& device_;
  Executor& executor_;
  Observer observer_;
  Part output_, input_gradient_;
};

}  // namespace sluice
