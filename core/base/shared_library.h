// A shared library that is opened when one of its functions is first called, so that a program
// which never calls it neither needs it nor gives it any address space.
//
// A source that defines the library's functions, under the names and with the types that its header
// declares, hands each call on:
//
//   SharedLibrary& TheLibrary() {
//     static SharedLibrary library({.file = "libnccl.so.2", .user = "--comm=nccl"});
//     return library;
//   }
//
//   ncclResult_t ncclGroupStart() { return SLUICE_FUNCTION_OF(TheLibrary(), ncclGroupStart)(); }
#pragma once

#include <mutex>
#include <string>
#include <type_traits>
#include <utility>

namespace sluice {

struct SharedLibraryOptions {
  std::string file;  // found as the dynamic linker finds any; LD_LIBRARY_PATH comes first
  std::string user;  // what needs it, the beginning of a sentence: "--comm=nccl"
};

// May be used by many threads.  Never closed: what it has started may run until the process ends.
class SharedLibrary {
 public:
  explicit SharedLibrary(SharedLibraryOptions options) : options_(std::move(options)) {}

  // The function `name`.  Throws Error where the library cannot be opened or lacks it.
  template <typename Function>
  Function* Find(const char* name) {
    return reinterpret_cast<Function*>(FindSymbol(name));
  }

 private:
  void* FindSymbol(const char* name);

  SharedLibraryOptions options_;
  std::mutex mutex_;
  void* handle_ = nullptr;
};

}  // namespace sluice

// Looked up once.
#define SLUICE_FUNCTION_OF(library, name)                                       \
  ([]() -> decltype(&name) {                                                    \
    static decltype(&name) const function =                                     \
        (library).template Find<std::remove_pointer_t<decltype(&name)>>(#name); \
    return function;                                                            \
  }())
