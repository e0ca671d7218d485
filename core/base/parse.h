// Strict numbers from text: the whole string, decimal, in range.  " 8", "0x10", "4.5" and "" are no
// integers here.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace sluice {

struct IntegerRange {
  int64_t min;
  int64_t max;
};

// Returns `text` as an integer in `range`, or throws Error naming `what`, the text and what is
// allowed.
int64_t ParseInteger(std::string_view what, std::string_view text, IntegerRange range);

// Returns the integers of a comma-separated list, each in `range`; throws Error like ParseInteger,
// also on an empty list.
std::vector<int64_t> ParseIntegerList(std::string_view what, std::string_view text,
                                      IntegerRange range);

// Returns `text` as a finite number in decimal notation, or throws Error.
double ParseNumber(std::string_view what, std::string_view text);

}  // namespace sluice
