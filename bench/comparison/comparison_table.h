// The tables of the main job: one line per scheme, the fastest first, at most 100 columns.
#pragma once

#include <string>
#include <vector>

#include "bench/comparison/comparison_rows.h"
#include "bench/harness/measure.h"

namespace sluice {

struct MeasuredRow {
  ComparisonRow row;
  Measurement measurement;
};

// The table, what its columns mean, which rows take the least time and the least memory, and the
// schemes without a row.
std::string ComparisonText(std::vector<MeasuredRow> rows, const std::vector<LeftOut>& left_out);

// What does not fit into that table: the communication of a pass, and the memory by purpose of the
// rank that allocates the most.
std::string VerboseText(std::vector<MeasuredRow> rows);

}  // namespace sluice
