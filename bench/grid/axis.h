// One axis of a grid, as people write it: numbers and ranges separated by commas.
//
//   "3,6,12,24"     those
//   "1:1024:8"      1, 9, 17, ... as far as 1024: begin, end, step; the end belongs to it if
//   reached "1,2,4:8"       1, 2, 4, 5, 6, 7, 8: a step of 1 need not be written
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/base/parse.h"
#include "core/cli/flags.h"

namespace sluice {

// The values in rising order, each in `range`.  Throws Error naming `what` and the part that is not
// allowed: no number, a range that ends before it begins, a step below 1, a value given twice, or
// more than 100 000 values.
std::vector<int64_t> ParseAxis(std::string_view what, std::string_view text, IntegerRange range);

// A flag that takes an axis; read it with ParseAxis.
FlagType AxisFlag(IntegerRange range);

}  // namespace sluice
