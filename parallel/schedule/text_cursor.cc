#include "parallel/schedule/text_cursor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "core/base/error.h"

namespace sluice::internal {

bool TextCursor::Consume(std::string_view word) {
  if (!text_.substr(position_).starts_with(word)) return false;
  position_ += word.size();
  return true;
}

void TextCursor::Expect(std::string_view word) {
  if (Consume(word)) return;
  Fail(position_, word == "\n" ? "the end of the line" : fmt::format("'{}'", word));
}

std::string_view TextCursor::TakeCapitals() {
  const size_t begin = position_;
  const auto is_capital = [](char c) { return (c >= 'A' && c <= 'Z') || c == '_'; };
  while (!AtEnd() && is_capital(text_[position_])) ++position_;
  return text_.substr(begin, position_ - begin);
}

std::optional<int> TextCursor::TakeNumber(int min, int max) {
  const size_t begin = position_;
  int64_t value = 0;
  while (!AtEnd() && text_[position_] >= '0' && text_[position_] <= '9' && value <= max) {
    value = value * 10 + (text_[position_++] - '0');
  }
  const bool has_leading_zero = position_ - begin > 1 && text_[begin] == '0';
  if (position_ == begin || has_leading_zero || value < min || value > max) return std::nullopt;
  return static_cast<int>(value);
}

void TextCursor::Fail(size_t position, std::string_view expected) const {
  const std::string_view before = text_.substr(0, position);
  const size_t line_begin = before.rfind('\n') + 1;  // 0 on the first line: npos + 1
  const auto line = std::ranges::count(before, '\n') + 1;
  const std::string_view rest = text_.substr(position);
  constexpr size_t kMaxShown = 20;
  const size_t num_shown = std::clamp<size_t>(rest.find_first_of(delimiters_), 1, kMaxShown);
  std::string found(rest.substr(0, num_shown));
  std::ranges::replace_if(
      found, [](char c) { return c < ' ' || c > '~'; }, '?');
  if (rest.empty()) {
    found = "the end of the text";
  } else if (rest[0] == '\n' || rest.starts_with("\r\n")) {
    found = "the end of the line";
  } else {
    found = "'" + found + "'";
  }
  throw Error(fmt::format("{}line {}, column {}: found {}, expected {}", where_(), line,
                          position - line_begin + 1, found, expected));
}

}  // namespace sluice::internal
