// The reference's Problem with the values that every run starts from
// (core/model/initial_values.h).
#pragma once

#include <cstdint>

#include "core/model/initial_values.h"
#include "core/model/loss_kind.h"
#include "core/reference/transformer.h"

namespace sluice::reference {

struct InitialProblemOptions {
  ModelConfig config;  // valid (Validate)
  int64_t batch_size = 1;
  int64_t prefix_len = 0;
  LossKind loss = LossKind::kMean;
  uint64_t seed = 0;
};

// Weights, input and projection of the seed.  The prefix of layer i is standard normal, stream
// "layers.{i}.prefix", element in [prefix_len, batch_size, 3 * hidden_size].
Problem InitialProblem(const InitialProblemOptions& options);

// The same with other weights, input and projection than those of the seed.
Problem InitialProblem(const InitialProblemOptions& options, const InitialValues& values);

}  // namespace sluice::reference
