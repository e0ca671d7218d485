// "Did you mean": the nearest known name to a misspelt one, and lists of names for messages.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sluice {

// Returns the name in `known` with the smallest edit distance to `word`, if that is at most a third
// of the word's length (at least 2); an empty string otherwise.  The first of equals wins.
std::string Nearest(std::string_view word, const std::vector<std::string>& known);

// Returns "unknown <what> '<word>'; did you mean '<nearest>'? Known: a, b, c".
std::string UnknownName(std::string_view what, std::string_view word,
                        const std::vector<std::string>& known);

}  // namespace sluice
