// What a float32 run is to be compared with when rounding has moved a ReLU input over 0.
//
// ReLU's derivative jumps at 0, so an input within its rounding error of 0 takes either side in a
// correct program.  One element of one gradient is then there that the reference has not, or the
// other way round, and everything below it differs: by far more than rounding.  But there are few
// such inputs (correctness/tolerance/stack_errors.h lists them), and a run shows which it flipped:
// the gradient of fc1.bias is the sum over tokens of the gradient of the ReLU's input, and is off
// in just that unit by just that element.  With the same inputs flipped in the float64 reference, a
// correct run agrees with it to rounding again, and no bound has to be widened.
//
//   FlippedReference reference(config);
//   reference.Resolve(fc1_bias_gradients);
//   checker.Check(name, actual, reference.Apply(name, expected));
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/model/initial_values.h"
#include "core/reference/transformer.h"
#include "correctness/tolerance/stack_errors.h"
#include "parallel/exec/job_plan.h"

namespace sluice {

class FlippedReference {
 public:
  // Computes the reference and the inputs that may flip: two to three steps in plain loops.  The
  // run starts from `values`, or without them from those of config.seed.
  explicit FlippedReference(const JobConfig& config, const InitialValues* values = nullptr);

  // Finds the flips that explain the gradients of fc1.bias best, given by their names in a
  // checkpoint; all others stay.
  void Resolve(const std::map<std::string, std::vector<double>>& fc1_bias_gradients);

  // A gradient, by its name in a checkpoint, of a reference without flips, changed by them.
  std::vector<double> Apply(const std::string& name, std::span<const double> expected) const;

  const std::vector<reference::ReluFlip>& flips() const { return problem_.flips; }
  int64_t num_possible_flips() const { return static_cast<int64_t>(possible_.size()); }

 private:
  bool Toggle(const std::map<std::string, std::vector<double>>& fc1_bias_gradients);

  reference::Problem problem_;
  std::vector<PossibleFlip> possible_;
  std::vector<bool> is_flipped_;
  reference::Step plain_, step_;
};

}  // namespace sluice
