// The one model of rounding errors that all bounds come from.
//
// Higham and Mary, "A new approach to probabilistic rounding error analysis", SIAM J. Sci. Comput.
// 41 (2019): each operation's relative error is an independent random number of mean zero, at most
// one unit roundoff u in size.  To first order, the error of a result is then a weighted sum of
// bounded independent numbers, so sub-Gaussian, with deviation u * sqrt(sum of squared weights).  A
// sum of n products in any order has weights of at most S = sum |a| |b|, n + 1 of them:
//
//   deviation = u * sqrt(n + 1) * S
//
// instead of the n * u * S of the worst case.  What is not random (the one rounding of a stored
// result, what a truncating matrix unit takes off each operand) is added in full.
//
// Bounds hold for a tensor with probability 1 - kFailureProbability under the model, so there is
// one constant, and it is no tolerance: a tenfold smaller probability moves the bounds by a few
// percent.  Not covered, on purpose: algorithms that cancel (variance as E[x^2] - E[x]^2), and
// overflow.
#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor/dtype.h"
#include "correctness/tolerance/compare.h"

namespace sluice {

inline constexpr double kFailureProbability = 1e-9;

// Unit roundoffs of a run.
struct Arithmetic {
  double accumulation = 0;     // every addition and elementwise operation
  double storage = 0;          // a stored activation or its gradient
  double weight_gradient = 0;  // a stored parameter gradient
  double operand = 0;       // what a matrix unit takes off an operand that it reads (tf32), else 0
  double intermediate = 0;  // an operand that a kernel computes and stores inside (softmax), else 0
  double underflow = 0;     // absolute: what a stored number this close to 0 may lose
};

// Matrix units of tf32, bf16 and fp16 may truncate where they accumulate, and tf32 where it reads:
// these count with twice the unit roundoff of rounding to nearest.
Arithmetic ArithmeticOf(Precision precision);

// Values that a computation should give, and the error that it may make in each element.
struct Expectation {
  std::vector<double> values;
  std::vector<double> deviation;  // of the random part
  std::vector<double> certain;    // the part that is not random

  // Elements share roundings with the others of their group of this many consecutive elements, and
  // with no others.  1: independent; the tensor's size: nothing is known.
  int64_t group_size = 1;
};

// An expectation of `values` with no error yet.
Expectation Exactly(std::vector<double> values);

// The bound that the errors of an expectation stay within, element by element and in relative L2.
//
// Elementwise: lambda * deviation + certain with lambda = sqrt(2 ln(4 N / p)), the union bound over
// N elements.  L2: the tail of a quadratic form in sub-Gaussian variables with covariance C (Hsu,
// Kakade and Zhang, 2012): with t = ln(2 / p), sqrt(tr C + 2 sqrt(t tr C^2) + 2 t max C), C being
// block diagonal with the groups as blocks, plus the norm of the certain part.
Bound BoundOf(const Expectation& expectation);

}  // namespace sluice
