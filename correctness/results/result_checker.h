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
// Where a run starts from other values than those of its seed, that is so in float64 and float32
// too.
//
// In float32 a lone ReLU input may be on the other side of 0 than in the reference: then gradients
// miss, and correctness/results/flipped_reference.h finds what they are to be compared with
// (MayFlip): bounds of such a run do not allow for it.
//
// The analysis runs when its first bound is asked for, once for each precision; it takes the time
// and the memory of a step in plain float64 loops.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>

#include "core/model/initial_values.h"
#include "correctness/tolerance/compare.h"
#include "correctness/tolerance/stack_errors.h"
#include "parallel/exec/job_plan.h"

namespace sluice {

struct CheckedRun {
  JobConfig config;
  Precision reference_precision = Precision::kFloat64;

  // The initial values of the run, if not those of config.seed: the formula of sizes does not hold
  // for them, so bounds are analysed in every precision.  Must outlive the checker.
  const InitialValues* values = nullptr;

  // The element type in which the reference's result of that name is stored; absent: one that adds
  // no rounding.
  std::function<DType(const std::string& name)> stored_type;

  // Called before an analysis; may be absent.
  std::function<void(Precision)> on_analysis;
};

// Whether gradients of a run may miss for ReLU inputs that flipped, and FlippedReference finds out.
bool MayFlip(const CheckedRun& run);

class ResultChecker {
 public:
  // Throws what CheckHiddenSize does.
  explicit ResultChecker(CheckedRun run);

  // Throws Error of a model that has no bounds: of one feature.
  static void CheckHiddenSize(const ModelConfig& model);

  // Whether bounds come from analyses, which take long.
  bool IsAnalysed() const;

  // Host memory that analyses of such a run take, if there are any.
  static int64_t HostBytes(const CheckedRun& run);

  // The bound of one tensor.  That of `loss` follows from `output`,
  // which must have been asked for before.
  Bound BoundOf(const std::string& name, std::span<const double> expected);

  // CompareTensors under that bound.
  Comparison Check(const std::string& name, std::span<const double> actual,
                   std::span<const double> expected);

 private:
  bool IsAnalysed(Precision precision) const;
  double ProjectionNorm() const;
  double StoredRounding(const std::string& name, std::span<const double> expected) const;
  Bound LossBound() const;
  const StackErrors& ErrorsOf(Precision precision);

  CheckedRun run_;
  std::map<Precision, StackErrors> errors_;
  double output_norm_ = 0;
  std::map<Precision, double> output_bound_;  // relative, of analysed precisions
};

}  // namespace sluice
