#include "core/kernels/causal_attention/attention_implementation.h"

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/suggest.h"

namespace sluice {
namespace {

using Implementation = CausalAttentionImplementation;

constexpr Implementation kAll[] = {Implementation::kTile, Implementation::kHopper,
                                   Implementation::kSmall, Implementation::kCudnn};
constexpr std::string_view kDefault = "default";

}  // namespace

std::string_view Name(Implementation implementation) {
  switch (implementation) {
    case Implementation::kTile:
      return "tile";
    case Implementation::kHopper:
      return "hopper";
    case Implementation::kSmall:
      return "small";
    case Implementation::kCudnn:
      return "cudnn";
  }
  SLUICE_CHECK(!"no such implementation");
  return "";
}

std::vector<std::string> AttentionChoices() {
  std::vector<std::string> choices = {std::string(kDefault)};
  for (const Implementation implementation : kAll) choices.emplace_back(Name(implementation));
  return choices;
}

std::optional<Implementation> ParseAttention(std::string_view choice) {
  if (choice == kDefault) return std::nullopt;
  for (const Implementation implementation : kAll) {
    if (Name(implementation) == choice) return implementation;
  }
  throw Error(UnknownName("attention", choice, AttentionChoices()));
}

}  // namespace sluice
