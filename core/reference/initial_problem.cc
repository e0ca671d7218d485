#include "core/reference/initial_problem.h"

#include <span>

#include "core/base/rng.h"
#include "core/model/initial_values.h"

namespace sluice::reference {

Problem InitialProblem(const InitialProblemOptions& options) {
  return InitialProblem(options, DrawnValues(options.seed));
}

Problem InitialProblem(const InitialProblemOptions& options, const InitialValues& initial) {
  const ModelConfig& config = options.config;
  Problem problem{.config = config, .batch_size = options.batch_size};
  const int64_t token_size = options.batch_size * config.hidden_size;
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    NamedValues weights;
    for (const ParameterSpec& parameter : LayerParameters(config)) {
      Values& values = weights[parameter.name];
      values.resize(static_cast<size_t>(parameter.shape.num_elements()));
      initial.Parameter(layer, parameter, WholeBlock(parameter), values);
    }
    problem.weights.push_back(std::move(weights));
    if (options.prefix_len == 0) continue;
    const RandomStream stream(options.seed, ParameterName(layer, "prefix"));
    Values prefix(static_cast<size_t>(options.prefix_len * 3 * token_size));
    for (size_t i = 0; i < prefix.size(); ++i) prefix[i] = stream.Normal(i);
    problem.prefix.push_back(std::move(prefix));
  }
  problem.prefix_len = options.prefix_len;
  problem.input.resize(static_cast<size_t>(config.seq_len * token_size));
  initial.Input(0, problem.input);
  if (options.loss == LossKind::kProjection) {
    problem.projection.resize(problem.input.size());
    initial.Projection(0, problem.projection);
  }
  return problem;
}

}  // namespace sluice::reference
