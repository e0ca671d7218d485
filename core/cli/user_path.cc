#include "core/cli/user_path.h"

#include <cstdlib>

namespace sluice {

std::string UserPath(std::string_view path) {
  if (path.starts_with('/')) return std::string(path);
  for (const char* variable : {"SLUICE_WORKING_DIRECTORY", "BUILD_WORKING_DIRECTORY"}) {
    const char* folder = std::getenv(variable);
    if (folder != nullptr) return std::string(folder) + "/" + std::string(path);
  }
  return std::string(path);
}

}  // namespace sluice
