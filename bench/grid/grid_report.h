// What a person reads of a grid search: a table with a row for each point, and a picture.
#pragma once

#include <string>
#include <vector>

#include "bench/grid/figure.h"
#include "bench/grid/grid_record.h"

namespace sluice {

// The conditions in a line: "cpu (Intel ...), f32, 2 threads, ...".
std::string ConditionsText(const GridConditions& conditions);

std::string GridTable(const std::vector<GridRecord>& records);

// A column of panels for each hidden_size; a row of forward times for each num_layers, and a row of
// achieved rates of the most layers, with the machine's own rate of a large square product.  The x
// axis is seq_len; a line is a prefix.  `records` may not be empty.
Figure GridFigure(const std::string& title, const GridConditions& conditions,
                  const std::vector<GridRecord>& records);

}  // namespace sluice
