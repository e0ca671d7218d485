#include "correctness/results/run_problem.h"

#include "core/reference/initial_problem.h"

namespace sluice {

reference::Problem ProblemOf(const JobConfig& config, const InitialValues* values) {
  const reference::InitialProblemOptions options = {.config = config.model,
                                                    .batch_size = config.batch_size,
                                                    .prefix_len = config.prefix_len,
                                                    .loss = config.loss,
                                                    .seed = config.seed};
  return values == nullptr ? reference::InitialProblem(options)
                           : reference::InitialProblem(options, *values);
}

}  // namespace sluice
