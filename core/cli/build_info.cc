#include "core/cli/build_info.h"

#include <fmt/format.h>

namespace sluice {
namespace {

constexpr const char* kVersion = "0.1.0";

std::string Compiler() {
#if defined(__clang__)
  return __VERSION__;  // already begins with clang's name
#else
  return "gcc " __VERSION__;
#endif
}

constexpr bool HasAsserts() {
#if defined(NDEBUG)
  return false;
#else
  return true;
#endif
}

}  // namespace

const BuildInfo& GetBuildInfo() {
  static const BuildInfo info = {
      .version = kVersion,
      .commit = internal::kStampedCommit,
      .tree = internal::kStampedTree,
      .compiler = Compiler(),
      .flags = internal::kStampedFlags,
      .mode = internal::kStampedMode,
      .has_asserts = HasAsserts(),
      .sanitizer = internal::SanitizerOf(internal::kStampedFlags),
  };
  return info;
}

std::string BuildInfoText(const BuildInfo& info) {
  return fmt::format(
      "version: {}\ncommit: {}\ntree: {}\ncompiler: {}\nflags: {}\nmode: {}\nasserts: "
      "{}\nsanitizer: {}\n",
      info.version, info.commit, info.tree, info.compiler, info.flags, info.mode,
      info.has_asserts ? "on" : "off", info.sanitizer);
}

namespace internal {

std::string SanitizerOf(const std::string& flags) {
  constexpr std::string_view kOption = "-fsanitize=";
  const size_t begin = flags.find(kOption);
  if (begin == std::string::npos) return "none";
  const size_t value = begin + kOption.size();
  return flags.substr(value, flags.find(' ', value) - value);
}

}  // namespace internal
}  // namespace sluice
