#include "core/base/suggest.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace sluice {
namespace {

// Levenshtein distance, one row at a time.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row[b.size()];
}

// Words this long are no misspelling of a name, and the distance is quadratic.
constexpr size_t kLongestWord = 256;

}  // namespace

std::string Nearest(std::string_view word, const std::vector<std::string>& known) {
  if (word.size() > kLongestWord) return "";
  const size_t limit = std::max<size_t>(2, word.size() / 3);
  size_t best_distance = limit + 1;
  std::string best;
  for (const std::string& name : known) {
    const size_t distance = EditDistance(word, name);
    if (distance < best_distance) {
      best_distance = distance;
      best = name;
    }
  }
  return best;
}

std::string UnknownName(std::string_view what, std::string_view word,
                        const std::vector<std::string>& known) {
  const std::string nearest = Nearest(word, known);
  const std::string hint = nearest.empty() ? "" : fmt::format("did you mean '{}'? ", nearest);
  return fmt::format("unknown {} '{}'; {}known: {}", what, word.substr(0, kLongestWord), hint,
                     fmt::join(known, ", "));
}

}  // namespace sluice
