#include "programs/flag_names.h"

#include <cctype>

namespace sluice {
namespace {

struct FieldFlag {
  std::string_view field;
  std::string_view flag;
};
constexpr FieldFlag kFieldFlags[] = {
    {"num_ranks", "pipeline_parallel_size"},
    {"num_slices", "n_slices"},
};

bool IsWordCharacter(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

std::string_view FlagOf(std::string_view word) {
  for (const FieldFlag& entry : kFieldFlags) {
    if (entry.field == word) return entry.flag;
  }
  return word;
}

}  // namespace

std::string WithFlagNames(std::string_view message) {
  std::string renamed, word;
  for (const char c : message) {
    if (IsWordCharacter(c)) {
      word += c;
      continue;
    }
    renamed += FlagOf(word);
    renamed += c;
    word.clear();
  }
  return renamed.append(FlagOf(word));
}

}  // namespace sluice
