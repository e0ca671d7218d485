// How this program was built. Every result contains it, because results of different commits,
// compilers or build modes are not comparable.
#pragma once

#include <string>

namespace sluice {

struct BuildInfo {
  // The version of Sluice, as in CHANGELOG.md: "0.1.0".
  std::string version;

  // The commit's full hash, or "unknown" where the build did not run in a git checkout.
  std::string commit;

  // "clean", or "dirty" where files differed from the commit, or "unknown".
  std::string tree;

  // Name and version, such as "gcc 12.2.0".
  std::string compiler;

  // The compiler options of every C++ file of the project, without warnings. A target may add more.
  std::string flags;

  // "opt", "dbg" or "fastbuild".
  std::string mode;

  // Whether assert() and the standard library's own checks are compiled in.
  bool has_asserts;

  // "address", "thread", "undefined", or "none".
  std::string sanitizer;
};

const BuildInfo& GetBuildInfo();

// The fields, one a line, each as "name: value".
std::string BuildInfoText(const BuildInfo& info);

namespace internal {

// Returns the argument of -fsanitize= in `flags`, or "none".
std::string SanitizerOf(const std::string& flags);

// Written into a source file by the rule build_stamp (tools/build_defs/build_stamp.bzl).
extern const char kStampedCommit[];
extern const char kStampedTree[];
extern const char kStampedFlags[];
extern const char kStampedMode[];

}  // namespace internal
}  // namespace sluice
