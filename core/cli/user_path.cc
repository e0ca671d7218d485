#include "core/cli/user_path.h"

#include <cstdlib>

namespace sluice {

std::string UserPath(std::string_view path) {
  const char* folder = std::getenv("BUILD_WORKING_DIRECTORY");
  if (folder == nullptr || path.starts_with('/')) return std::string(path);
  return std::string(folder) + "/" + std::string(path);
}

}  // namespace sluice
