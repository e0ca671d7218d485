// One axis of a grid, as the user writes it: numbers and ranges separated by commas.
//
//   "3,6,12,24"   these four
//   "1:1024:8"    begin, end, step: 1, 9, 17, ..., 1017; includes the end if a step reaches it
//   "1,2,4:8"     1, 2, 4, 5, 6, 7, 8: the default step is 1
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/base/parse.h"
#include "core/cli/flags.h"

namespace sluice {

// The values in ascending order, each in `range`. Throws Error naming `what` and the part that is
// not allowed: not a number, a range that ends before it begins, a step below 1, a value given
// twice, or more than 100 000 values.
std::vector<int64_t> ParseAxis(std::string_view what, std::string_view text, IntegerRange range);

// The type of a flag whose value is an axis; parse the value with ParseAxis.
FlagType AxisFlag(IntegerRange range);

}  // namespace sluice
