// The golden fixtures: outputs and gradients that PyTorch autograd gives in float64 for small
// models of odd sizes (make_golden.py), and the comparison with them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/reference/initial_problem.h"
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

// One comparison for every tensor of the fixture, under `relative_l2_bound`.  `step` is what the
// code under test computed, as the reference would return it.
std::vector<Comparison> CompareWithGolden(const Golden& golden, const reference::Step& step,
                                          double relative_l2_bound);

}  // namespace sluice
