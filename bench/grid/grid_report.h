// The report of a grid search: a table with a row for each point, and a figure.
#pragma once

#include <string>
#include <vector>

#include "bench/grid/figure.h"
#include "bench/grid/grid_record.h"

namespace sluice {

// The conditions in one line: "cpu (Intel ...), f32, 2 threads, ...".
std::string ConditionsText(const GridConditions& conditions);

std::string GridTable(const std::vector<GridRecord>& records);

// One column of panels for each hidden_size; one row of forward times for each num_layers; and one
// row of the rates that the deepest stack achieved, with the ceiling of a large square product. The
// x axis is seq_len, and each line a prefix. `records` must not be empty.
Figure GridFigure(const std::string& title, const GridConditions& conditions,
                  const std::vector<GridRecord>& records);

}  // namespace sluice
