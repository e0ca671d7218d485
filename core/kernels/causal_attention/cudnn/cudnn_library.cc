#include "core/kernels/causal_attention/cudnn/cudnn_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/base/check.h"

namespace sluice::cuda {
namespace {

constexpr const char* kFile = "libcudnn.so.9";

// Earlier ones get slices wrong whose length is no multiple of 128, or refuse them.
constexpr size_t kMinimumVersion = 91600;

struct Library {
  CudnnFunctions functions = {};
  std::optional<std::string> error;
};

std::string VersionText(size_t version) {
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

// Sets `function` to the library's `name`; false where it has none.
template <typename Function>
bool Find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

Library Open() {
  Library library;
  void* handle = dlopen(kFile, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    library.error = fmt::format(
        "cudnn attention needs {}, which cannot be opened ({}); put its folder into "
        "LD_LIBRARY_PATH",
        kFile, dlerror());
    return library;
  }
  CudnnFunctions& f = library.functions;
  const bool is_complete = Find(handle, "cudnnGetVersion", f.get_version) &&
                           Find(handle, "cudnnGetErrorString", f.get_error_string) &&
                           Find(handle, "cudnnGetLastErrorString", f.get_last_error_string) &&
                           Find(handle, "cudnnCreate", f.create) &&
                           Find(handle, "cudnnSetStream", f.set_stream) &&
                           Find(handle, "cudnnBackendCreateDescriptor", f.create_descriptor) &&
                           Find(handle, "cudnnBackendDestroyDescriptor", f.destroy_descriptor) &&
                           Find(handle, "cudnnBackendSetAttribute", f.set_attribute) &&
                           Find(handle, "cudnnBackendGetAttribute", f.get_attribute) &&
                           Find(handle, "cudnnBackendFinalize", f.finalize) &&
                           Find(handle, "cudnnBackendExecute", f.execute);
  if (!is_complete) {
    library.error = fmt::format("cudnn attention cannot use {}: {}", kFile, dlerror());
  } else if (f.get_version() < kMinimumVersion) {
    library.error = fmt::format("cudnn attention needs cuDNN {} or later, not {}",
                                VersionText(kMinimumVersion), VersionText(f.get_version()));
  }
  return library;
}

// Never closed: graphs may hold its kernels until the process ends.
const Library& TheLibrary() {
  static const Library library = Open();
  return library;
}

}  // namespace

std::optional<std::string> FindCudnnError() { return TheLibrary().error; }

const CudnnFunctions& Cudnn() {
  SLUICE_CHECK(!TheLibrary().error.has_value());
  return TheLibrary().functions;
}

std::string CudnnErrorText(cudnnStatus_t status) {
  std::array<char, 1024> buffer = {};
  Cudnn().get_last_error_string(buffer.data(), buffer.size());
  std::string reason = buffer.data();
  std::replace(reason.begin(), reason.end(), '\n', ' ');
  return fmt::format("{} ({}): {}", Cudnn().get_error_string(status), static_cast<int>(status),
                     reason);
}

void CheckCudnn(cudnnStatus_t status, const char* expression, const char* file, int line) {
  if (status == CUDNN_STATUS_SUCCESS) [[likely]]
    return;
  internal::CheckFailed(file, line,
                        fmt::format("{} failed with {}", expression, CudnnErrorText(status)));
}

}  // namespace sluice::cuda
