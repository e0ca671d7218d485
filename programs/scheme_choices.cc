#include "programs/scheme_choices.h"

#include <algorithm>

namespace sluice {

const std::vector<SchemeChoice>& SchemeChoices() {
  static const std::vector<SchemeChoice>& choices = *[] {
    auto* const all = new std::vector<SchemeChoice>;
    for (const Scheme& scheme : Schemes()) {
      const bool uses_ranks = scheme.shape_fields & kUsesRanks;
      all->push_back(
          {std::string(scheme.name), &scheme, uses_ranks ? &ParallelSizes::pipeline : nullptr});
    }
    all->push_back({"megatron", &FindScheme("single"), &ParallelSizes::tensor});
    return all;
  }();
  return choices;
}

const SchemeChoice* FindSchemeChoice(std::string_view name) {
  const auto choice = std::ranges::find(SchemeChoices(), name, &SchemeChoice::name);
  return choice == SchemeChoices().end() ? nullptr : &*choice;
}

std::vector<std::string> SchemeNames() {
  std::vector<std::string> names;
  for (const SchemeChoice& choice : SchemeChoices()) names.push_back(choice.name);
  return names;
}

}  // namespace sluice
