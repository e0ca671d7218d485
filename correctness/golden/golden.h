// The golden fixtures: outputs and gradients that PyTorch autograd gives in float64 for small
// models of odd sizes (make_golden.py), and the comparison with them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/reference/initial_problem.h"
#include "core/tensor/dtype.h"
#include "correctness/tolerance/compare.h"

namespace sluice {

// One fixture.  What it was computed from is InitialProblem(options).
struct Golden {
  std::string name;  // "head_dim_80_prefix"
  reference::InitialProblemOptions options;
  std::map<std::string, std::vector<double>> tensors;  // as make_golden.py describes them
};

// All fixtures, by name.  Reads the files beside this header, from the runfiles of a test.
std::vector<Golden> ReadGoldens();

// One comparison for every tensor of the fixture, in the fixture's order of names.  `step` is what
// the code under test computed in `precision`, as the reference would return it.  The bound is the
// stack's (correctness/tolerance/stack_bound.h) for that precision plus that of PyTorch's float64.
std::vector<Comparison> CompareWithGolden(const Golden& golden, const reference::Step& step,
                                          Precision precision);

}  // namespace sluice
