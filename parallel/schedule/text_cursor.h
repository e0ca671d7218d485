// Reads a text from left to right. The parsers of schedules share it, so that their errors have one
// form: "line 2, column 17: found 'F0.0.2', expected a slice, a number from 0 to 1".
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::internal {

class TextCursor {
 public:
  // An error shows the text up to the next of `delimiters`, after `where()`.
  TextCursor(std::string_view text, std::string_view delimiters, std::function<std::string()> where)
      : text_(text), delimiters_(delimiters), where_(std::move(where)) {}

  bool AtEnd() const { return position_ == text_.size(); }
  size_t position() const { return position_; }

  // Whether `word` comes next. If so, moves past it.
  bool Consume(std::string_view word);

  // Moves past `word`. Throws Error if it does not come next.
  void Expect(std::string_view word);

  // Returns the capital letters and underscores that come next, and moves past them.
  std::string_view TakeCapitals();

  // Returns the decimal number that comes next, and moves past it. Returns nothing if there is no
  // number, if it has a leading zero, or if it is not from `min` to `max`.
  std::optional<int> TakeNumber(int min, int max);

  // Throws Error with the line and column of `position`, the text there, and what is expected.
  [[noreturn]] void Fail(size_t position, std::string_view expected) const;

 private:
  const std::string_view text_;
  const std::string_view delimiters_;
  const std::function<std::string()> where_;
  size_t position_ = 0;
};

}  // namespace sluice::internal
