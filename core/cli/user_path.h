// Paths as the person meant them who typed the command.
#pragma once

#include <string>
#include <string_view>

namespace sluice {

// `path`, but a relative one leads from where `bazel run` was called: Bazel starts programs in a
// folder of its own.
std::string UserPath(std::string_view path);

}  // namespace sluice
