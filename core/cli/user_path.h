// Resolves relative paths against the folder where the user called the program.
#pragma once

#include <string>
#include <string_view>

namespace sluice {

// `path`, which counts from the folder where the user is if it is relative.  `bazel run` starts
// programs in another folder, and says where it was called (BUILD_WORKING_DIRECTORY); bazelw calls
// it in the project's root, and says where it was called itself (SLUICE_WORKING_DIRECTORY).
std::string UserPath(std::string_view path);

}  // namespace sluice
