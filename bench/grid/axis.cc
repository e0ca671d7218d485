#include "bench/grid/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "core/base/error.h"

namespace sluice {
namespace {

constexpr size_t kMaxValues = 100'000;

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

void AppendPart(std::string_view what, std::string_view part, IntegerRange range,
                std::vector<int64_t>* values) {
  const std::vector<std::string_view> numbers = Split(part, ':');
  if (numbers.size() > 3) {
    throw Error(
        fmt::format("{} '{}' is not allowed: a range is begin:end or begin:end:step", what, part));
  }
  const int64_t begin = ParseInteger(what, numbers[0], range);
  const int64_t end = numbers.size() > 1 ? ParseInteger(what, numbers[1], range) : begin;
  const int64_t step = numbers.size() > 2 ? ParseInteger(fmt::format("the step of {}", what),
                                                         numbers[2], {1, range.max})
                                          : 1;
  if (end < begin) {
    throw Error(fmt::format("{} '{}' is not allowed: the range ends before it begins", what, part));
  }
  for (int64_t value = begin;; value += step) {
    if (values->size() == kMaxValues) {
      throw Error(fmt::format("{} has more than {} values", what, kMaxValues));
    }
    values->push_back(value);
    if (value > end - step) return;
  }
}

}  // namespace

std::vector<int64_t> ParseAxis(std::string_view what, std::string_view text, IntegerRange range) {
  std::vector<int64_t> values;
  for (const std::string_view part : Split(text, ',')) AppendPart(what, part, range, &values);
  std::sort(values.begin(), values.end());
  const auto twice = std::adjacent_find(values.begin(), values.end());
  if (twice != values.end()) throw Error(fmt::format("{} holds {} twice", what, *twice));
  return values;
}

FlagType AxisFlag(IntegerRange range) {
  return {"integers and ranges begin:end:step separated by commas, each",
          [range] { return fmt::format("from {} to {}", range.min, range.max); },
          [range](std::string_view what, std::string_view text) { ParseAxis(what, text, range); }};
}

}  // namespace sluice
