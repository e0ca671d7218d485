// Compares a tensor with what it should be, under a bound; and the negative controls that every
// comparison must fail.
//
//   const Comparison result = CompareTensors<float, double>(
//       "grad.layers.3.fc1.weight", actual, expected, bound);
//   if (!result.pass) fmt::print("{}\n", ToString(result));
//
// A bound is derived (docs/error_bounds.md), never chosen.  Everything is decided by
// !(error <= bound), so that a NaN on either side, or in the bound itself, fails.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

struct Bound {
  // Of ||actual - expected|| / ||expected||.  For an expected tensor of zeros the ratio is 0 where
  // actual is zero too, and infinite otherwise.
  double relative_l2 = 0;

  // Of |actual - expected|, absolute: one number per element, one number for all, or none (not
  // bounded by element).
  std::vector<double> elementwise;
};

struct Comparison {
  std::string name;
  double relative_l2 = 0;
  double relative_l2_bound = 0;

  // The element whose error is the largest multiple of its bound (the largest error, where elements
  // have no bound of their own); -1 for an empty tensor.
  int64_t worst_index = -1;
  double worst_error = 0;
  double worst_bound = 0;  // infinity where elements have no bound

  bool pass = false;
  std::string note;  // why it fails, where that is not an error over its bound
};

// The two tensors must have the same size, and the bound one of the sizes above (SLUICE_CHECK).
// Instantiated for float and double on both sides.
template <typename Actual, typename Expected>
Comparison CompareTensors(std::string_view name, std::span<const Actual> actual,
                          std::span<const Expected> expected, const Bound& bound);

// How much of its bound a tensor uses: of that of the relative L2, or where there is none of that
// of the worst element.  An error of 0 uses nothing, even of a bound of 0.
double ShareOfBound(const Comparison& comparison);

// "grad.input: relative L2 3.1e-16 <= 1.2e-14, worst element 17: 2.0e-17 <= 4.0e-15", FAIL where it
// does not hold.
std::string ToString(const Comparison& comparison);

// What the faults of a parallel scheme do to a tensor.
enum class Perturbation : uint8_t {
  kScaled,        // all of it times 1.001: a wrong divisor, a loss scale
  kOneElement,    // the element of median magnitude negated: an indexing fault
  kSwappedParts,  // the first and second half exchanged: slices or micro-batches in the wrong order
  kZeroed,        // a gradient that never arrived
  kNan,           // one NaN
};
std::string_view Name(Perturbation perturbation);

// A copy of values with that fault.
std::vector<double> Perturbed(std::span<const double> values, Perturbation perturbation);

// The perturbations of `expected` that a comparison under `bound` would let pass, apart from those
// that leave it unchanged (halves that are equal, a median of zero).  A check is worth something
// only where this is empty; what low precision cannot see is named here.
std::vector<Perturbation> UndetectedPerturbations(std::span<const double> expected,
                                                  const Bound& bound);

}  // namespace sluice
