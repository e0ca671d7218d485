// One configuration, run as threads by the executor and computed by core/reference: the two sides
// of every parity test.
#pragma once

#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/backend/backend.h"
#include "core/device/device.h"
#include "correctness/results/results.h"
#include "correctness/tolerance/compare.h"
#include "parallel/comm/communicator.h"
#include "parallel/exec/executor.h"
#include "parallel/exec/job_plan.h"
#include "programs/rank_environment.h"

namespace sluice {

struct ResultTensor {
  std::string name;
  std::vector<double> values;
  std::optional<DifferentCopy> different_copy = std::nullopt;
};

// What core/reference computes in float64, in the order of Results (correctness/results).
std::vector<ResultTensor> ReferenceResults(const JobConfig& config);

// What a test may do to a run from outside.  Each is called on every rank, where it is given.
struct Tampering {
  // Before anything is made of the plan.
  std::function<void(JobPlan&)> plan;
  // Gives the communicator that the executor uses in place of `world`.
  std::function<std::unique_ptr<Communicator>(Communicator& world)> wrap;
  // Before the step that counts, and after it.
  std::function<void(Executor&, Device&)> before, after;

  // Before the step that counts another runs, of an input that is this many times the right one:
  // what it leaves in memory must not reach the results.
  double first_input_factor = std::numeric_limits<double>::quiet_NaN();
};

// What ranks compute on.
struct Machine {
  std::function<Backend(int rank, Precision precision)> make_backend;
  // The communicator of a rank's backend; without it, that of the host is used.
  std::function<std::unique_ptr<Communicator>(Communicator& world, Backend& backend)> connect = {};
};

// Calls `run` as one thread a rank, with sends that wait for their receives.
void RunOnMachine(const Machine& machine, const JobConfig& config,
                  const std::function<void(const RankEnvironment&)>& run);

// One rank's part of RunAsThreads: runs the plan and returns, on rank 0 alone, what all computed.
std::vector<ResultTensor> RunOnRank(const JobPlan& plan, const RankEnvironment& rank,
                                    const Tampering& tampering = {});

// Runs the configuration and returns what it computed.
std::vector<ResultTensor> RunAsThreads(const JobConfig& config, const Machine& machine,
                                       const Tampering& tampering = {});

// One rank's part of ExpectGraphRepeatsStep: runs a step, captures it and replays it, each time
// over gradients that are wrong.  Returns how the first replay differs whose loss or weight
// gradients on this rank are not, bit for bit, those of the eager step; empty where there is none.
std::string FindReplayDifference(const JobPlan& plan, const RankEnvironment& rank, int num_replays);

// Expects that a captured step, repeated, gives the bits of the eager one.
void ExpectGraphRepeatsStep(const JobConfig& config, const Machine& machine);

// Compares tensor by tensor (correctness/results/result_checker.h), and fails a tensor of which a
// rank holds another copy; gradients of a float32 run that
// miss, again with the run's own ReLU flips (correctness/results/flipped_reference.h).  A name that
// differs or is missing is our bug.
std::vector<Comparison> CompareResults(const JobConfig& config,
                                       const std::vector<ResultTensor>& actual,
                                       const std::vector<ResultTensor>& expected);

}  // namespace sluice
