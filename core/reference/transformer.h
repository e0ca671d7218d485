// The whole model in plain float64: the answer that every kernel, scheme and device must give.
//
// A stack of pre-norm decoder layers, the loss and the gradient of everything, out of the loops of
// core/reference/ops.h.  Shares no code with core/kernels; meant for small models (`test`, 24
// layers, takes seconds).
//
//   Problem problem = InitialProblem(...);          // core/reference/initial_problem.h
//   Step step = ForwardBackward(problem);
//   step.gradients[3].at("fc1.weight")              // [F, H] of layer 3
//
// Shapes: L = slice_len positions are computed after P = prefix_len earlier ones; B = batch_size, H
// = hidden_size.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/model/model_config.h"
#include "core/reference/ops.h"

namespace sluice::reference {

// Tensors of one layer by parameter name, "attn_ln.weight" .. "fc2.bias" (LayerParameters).
using NamedValues = std::map<std::string, Values>;

// A ReLU input whose derivative is taken as on the other side of 0: what rounding may do to one
// that is close to it.
struct ReluFlip {
  int64_t layer = 0;
  int64_t element = 0;  // in [L, B, F]
  auto operator<=>(const ReluFlip&) const = default;
};

struct Problem {
  ModelConfig config;  // seq_len is the number of positions computed here, L
  int64_t batch_size = 1;
  std::vector<NamedValues> weights;  // by layer
  Values input;                      // [L, B, H]
  Values projection;                 // [L, B, H]; empty: the mean loss

  // Earlier positions that the L positions attend to, by layer: qkv [P, B, 3H] as in_proj writes
  // them (head-major; q is not read).  Empty for P = 0.
  int64_t prefix_len = 0;
  std::vector<Values> prefix;

  // ForwardBackward alone heeds them.
  std::vector<ReluFlip> flips;
};

struct Output {
  Values output;            // [L, B, H]
  std::vector<Values> qkv;  // by layer, [P + L, B, 3H]: the prefix of the next slice
};

// The forward of the stack.
Output Forward(const Problem& problem);

struct Step {
  Values output;                         // [L, B, H]
  double loss = 0;                       // projection or mean, over these L positions
  Values input_gradient;                 // [L, B, H]
  std::vector<NamedValues> gradients;    // by layer and parameter, of that parameter's shape
  std::vector<Values> prefix_gradients;  // by layer, [P, B, 3H]; those of q are 0
};

// Forward, loss and the gradient of the loss with respect to the input, every parameter and the
// prefix.
Step ForwardBackward(const Problem& problem);

}  // namespace sluice::reference
