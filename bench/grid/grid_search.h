// Times the forward of every point of a grid, one after the other on one device, as //bench times
// jobs (time_passes.h).
//
//   const std::vector<GridPoint> points = PointsOf(axes, stack);
//   const std::vector<GridRecord> records = SearchGrid(points, options);
//
// If a point needs more memory than there is, its record says so and the search continues. Each
// record is appended to the results file as soon as it is known; points that the file already has
// are not measured again.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/grid/grid_point.h"
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

// All points, those of one hidden_size together. Throws Error if head_dim does not divide a
// hidden_size, if a size overflows, or if there are more than a million points.
std::vector<GridPoint> PointsOf(const GridAxes& axes, const GridStack& stack);

struct GridSearchOptions {
  std::string program;  // "grid_forward"
  BackendOptions backend;
  GridStack stack;
  int64_t n_steps = 1;           // timed forwards of each point
  int64_t num_warmup_steps = 1;  // directly before them
  std::string results_path;
  OpenMode open_mode = OpenMode::kNew;
};

// The conditions of every result: the build, the device and the options.
GridConditions ConditionsOf(const GridSearchOptions& options);

// Measures, with progress on stderr, and returns the record of each point. Throws Error if the
// results cannot be written, if the file to resume has another configuration, or if an output is
// not finite.
std::vector<GridRecord> SearchGrid(const std::vector<GridPoint>& points,
                                   const GridSearchOptions& options);

}  // namespace sluice
