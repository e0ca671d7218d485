// Judges the results of a run, tensor by tensor, against those of a reference.
//
//   ResultChecker checker({.config = plan.config, .reference_precision = Precision::kFloat64});
//   const Comparison comparison = checker.Check("grad.input", values, expected);
//
// Both sides are rounded, so the bound of a tensor is the sum of what each side may be from exact
// arithmetic (correctness/tolerance/stack_bound.h), and at most what the project demands of the
// less precise of the two.  An element's error is at most the norm of all errors: its bound is the
// relative bound times the norm of the expected tensor.
#pragma once

#include <span>
#include <string>

#include "correctness/tolerance/compare.h"
#include "parallel/exec/job.h"

namespace sluice {

struct CheckedRun {
  JobConfig config;
  Precision reference_precision = Precision::kFloat64;
};

class ResultChecker {
 public:
  explicit ResultChecker(CheckedRun run);

  // The bound of one tensor.  That of `loss` follows from the norms of output and projection, so
  // `output` must have been asked for before.
  Bound BoundOf(const std::string& name, std::span<const double> expected);

  // CompareTensors under that bound.
  Comparison Check(const std::string& name, std::span<const double> actual,
                   std::span<const double> expected);

 private:
  CheckedRun run_;
  double output_norm_ = 0;
};

}  // namespace sluice
