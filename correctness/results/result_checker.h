// Judges the results of a run, tensor by tensor, against those of a reference.
//
//   ResultChecker checker({.config = plan.config, .reference_precision = Precision::kFloat64});
//   const Comparison comparison = checker.Check("grad.input", values, expected);
//
// Both sides are rounded, so the bound of a tensor is the sum of what each side may be from exact
// arithmetic.  In float64 and float32 that is a formula of the model's sizes
// (correctness/tolerance/stack_bound.h), and the sum at most what the project demands of the less
// precise of the two.  In tf32, bf16 and fp16, and of models with few features, it comes from a
// running error analysis of this very problem (correctness/tolerance/stack_errors.h).  An element's
// error is at most the norm of all errors: its bound is the relative bound times the norm of the
// expected tensor.
//
// In float32 a lone ReLU input may be on the other side of 0 than in the reference: then gradients
// miss, and correctness/results/flipped_reference.h finds what they are to be compared with.
//
// The analysis runs when its first bound is asked for, once for each precision; it takes the time
// and the memory of a step in plain float64 loops.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>

#include "correctness/tolerance/compare.h"
#include "correctness/tolerance/stack_errors.h"
#include "parallel/exec/job.h"

namespace sluice {

struct CheckedRun {
  JobConfig config;
  Precision reference_precision = Precision::kFloat64;

  // Called before an analysis; may be absent.
  std::function<void(Precision)> on_analysis;
};

class ResultChecker {
 public:
  // Throws what CheckHiddenSize does.
  explicit ResultChecker(CheckedRun run);

  // Throws Error of a model that has no bounds: of one feature.
  static void CheckHiddenSize(const ModelConfig& model);

  // Host memory that an analysis takes which every check of such a run needs; of most float32 runs,
  // none.
  static int64_t HostBytes(const JobConfig& config);

  // The bound of one tensor.  That of `loss` follows from `output`,
  // which must have been asked for before.
  Bound BoundOf(const std::string& name, std::span<const double> expected);

  // CompareTensors under that bound.
  Comparison Check(const std::string& name, std::span<const double> actual,
                   std::span<const double> expected);

 private:
  Bound LossBound() const;
  const StackErrors& ErrorsOf(Precision precision);

  CheckedRun run_;
  std::map<Precision, StackErrors> errors_;
  double output_norm_ = 0;
  std::map<Precision, double> output_bound_;  // relative, of analysed precisions
};

}  // namespace sluice
