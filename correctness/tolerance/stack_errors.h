// How far a step of the whole stack may be from exact arithmetic in a given precision: a running
// error analysis in float64 beside the forward and backward of one problem.
//
//   const StackErrors errors = AnalyzeStack(problem, {.precision = Precision::kBFloat16});
//   Bound bound = {.relative_l2 = errors.RelativeL2("grad.layers.3.fc1.weight", expected)};
//
// docs/error_bounds.md derives it.  In short: every rounding of a stored number is an independent
// error of known mean square; errors pass through a linear layer with the mean-square gain of its
// weights, through layer norm and attention by their derivatives at the values of this problem;
// and a ReLU input closer to 0 than its error flips with a probability that follows from the two,
// which exchanges one element of a gradient for 0 or the other way round.
//
// Costs the forward and the backward of the input in plain loops, 16 / 24 of the operations of a
// step, and all its activations in memory.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/reference/transformer.h"
#include "core/tensor/dtype.h"

namespace sluice {

// What one tensor of results may be off by.
struct TensorErrors {
  // Mean squares of errors that are independent between groups: tokens of an activation, one entry
  // each; of a parameter gradient one sum, whose groups are features.
  std::vector<double> squares;
  int64_t num_groups = 1;  // that an entry stands for

  // Mean square, relative to the tensor's, of errors that all tokens share (rounded weights).
  double shared = 0;

  // Norm, relative to the tensor's, of what is not random: operands that a unit truncates.
  double drift = 0;

  // How often the tensor is rounded to StackRounding.grad_dtype, and the groups of elements that
  // are rounded independently; 0: it is not.
  int64_t num_short_writes = 0;
  int64_t num_write_groups = 1;
};

// Whether bounds allow for ReLU inputs that rounding moves over 0.
enum class ReluFlips : uint8_t { kAllowed, kExcluded };

// By how much a linear layer's weight W [out, in] enlarges the mean square of an error.
enum class WeightGain : uint8_t {
  // The mean over all directions of an error, |W|_F^2 / in.
  kMean,
  // By the same or, where that is more, by what it enlarges the values themselves: weights that are
  // not independent single out directions, and errors come to lie in them as the values do.  (The
  // largest singular value would hold for every error, but no bound that multiplies it over many
  // layers sees a fault.)
  kOfValues,
};

struct StackRounding {
  Precision precision = Precision::kFloat64;
  ReluFlips flips = ReluFlips::kAllowed;
  WeightGain gain = WeightGain::kMean;
  double gradient_scale = 1;  // the loss scale: matters where gradients underflow

  // Gradients of linear layers' parameters, where they are not kept in the accumulator type: their
  // type, and how often a step writes each, the first time and with every sum that is added.
  std::optional<DType> grad_dtype;
  int64_t num_gradient_writes = 1;

  // Ranks that share each layer.  The products of out_proj and fc2, and the gradients of the inputs
  // of in_proj and fc1, are then sums over ranks of partial products: each rank rounds its own to
  // the storage type, and so is every sum of some of them.
  int tensor_parallel_size = 1;
};

struct PossibleFlip {
  reference::ReluFlip flip;
  double change = 0;  // of the gradient of that ReLU's input, and of the bias in front of it
};

class StackErrors {
 public:
  // Of the error of `name` (the names of a checkpoint; not "loss") relative to the norm of
  // `expected`, holds with probability 1 - kFailureProbability.
  double RelativeL2(const std::string& name, std::span<const double> expected) const;

  // How many ReLU inputs of the whole stack are expected to flip, and how many may.
  double expected_flips() const { return expected_flips_; }
  int64_t num_possible_flips() const { return num_possible_flips_; }

  // Those that may, of an analysis of float32: in lower precision they are too many to be of use.
  const std::vector<PossibleFlip>& possible_flips() const { return possible_flips_; }

 private:
  friend class StackAnalysis;
  StackRounding rounding_;
  std::map<std::string, TensorErrors> tensors_;
  double expected_flips_ = 0;
  int64_t num_possible_flips_ = 0;
  std::vector<PossibleFlip> possible_flips_;
};

// Operations and host memory of an analysis; config.seq_len is the number of all positions.  The
// partial products of tensor-parallel ranks take up to half as many operations again.
double StackAnalysisFlops(const ModelConfig& config, int64_t batch_size);
int64_t StackAnalysisBytes(const ModelConfig& config, int64_t batch_size);

StackErrors AnalyzeStack(const reference::Problem& problem, const StackRounding& rounding);

}  // namespace sluice
