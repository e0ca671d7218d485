#include "core/base/parse.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "core/base/error.h"

namespace sluice {
namespace {

template <typename T>
bool ParseWhole(std::string_view text, T* value) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, *value);
  return error == std::errc() && stop == end;
}

}  // namespace

int64_t ParseInteger(std::string_view what, std::string_view text, IntegerRange range) {
  int64_t value = 0;
  if (!ParseWhole(text, &value) || value < range.min || value > range.max) {
    throw Error(fmt::format("{} '{}' is not allowed: it must be an integer from {} to {}", what,
                            text, range.min, range.max));
  }
  return value;
}

std::vector<int64_t> ParseIntegerList(std::string_view what, std::string_view text,
                                      IntegerRange range) {
  std::vector<int64_t> values;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    values.push_back(ParseInteger(what, text.substr(begin, comma - begin), range));
    begin = comma + 1;
  }
  return values;
}

double ParseNumber(std::string_view what, std::string_view text) {
  double value = 0;
  if (!ParseWhole(text, &value) || !std::isfinite(value)) {
    throw Error(fmt::format("{} '{}' is not allowed: it must be a finite number", what, text));
  }
  return value;
}

}  // namespace sluice
