// Times the forward of every point of a grid, one after the other on one device.
//
//   // Throws Error where a point is none.
//   const std::vector<GridPoint> points = PointsOf(axes, head_dim);
//   const std::vector<GridRecord> records = SearchGrid(points, options);
//
// A point that needs more memory than there is is recorded as such, and the search goes on.  Each
// result is a line of options.results the moment it is known; points that the file has already are
// not measured again.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/grid/forward_stack.h"
#include "bench/grid/grid_record.h"
#include "bench/grid/results_file.h"
#include "core/backend/backend.h"

namespace sluice {

struct GridAxes {
  std::vector<int64_t> num_layers;
  std::vector<int64_t> hidden_sizes;
  std::vector<int64_t> seq_lens;
  std::vector<int64_t> prefix_factors;  // prefix_len / seq_len
};

// All points, those of one hidden_size together.  Throws Error when head_dim does not divide a
// hidden size, when a size overflows, or when there are more than a million points.
std::vector<GridPoint> PointsOf(const GridAxes& axes, const ForwardStackOptions& options);

struct GridSearchOptions {
  std::string program;  // "grid_forward"
  BackendOptions backend;
  ForwardStackOptions stack;
  int64_t n_steps = 1;           // timed forwards of each point
  int64_t num_warmup_steps = 1;  // before them
  std::string results_path;
  OpenMode open_mode = OpenMode::kNew;
};

// What holds for every result: the build, the device and the options.
GridConditions ConditionsOf(const GridSearchOptions& options);

// Measures, with progress on stderr, and returns the record of each point.  Throws Error when the
// results cannot be written, when the file to resume is of another configuration, or when an output
// is not finite.
std::vector<GridRecord> SearchGrid(const std::vector<GridPoint>& points,
                                   const GridSearchOptions& options);

}  // namespace sluice
