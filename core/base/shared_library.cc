#include "core/base/shared_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include "core/base/error.h"

namespace sluice {

void* SharedLibrary::FindSymbol(const char* name) {
  const std::lock_guard lock(mutex_);
  if (handle_ == nullptr) handle_ = dlopen(options_.file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle_ == nullptr) {
    throw Error(fmt::format(
        "{} needs {}, which cannot be opened ({}); where it is installed, put its folder into "
        "LD_LIBRARY_PATH",
        options_.user, options_.file, dlerror()));
  }
  void* const symbol = dlsym(handle_, name);
  if (symbol == nullptr) {
    throw Error(fmt::format("{} cannot use {}: {}", options_.user, options_.file, dlerror()));
  }
  return symbol;
}

}  // namespace sluice
