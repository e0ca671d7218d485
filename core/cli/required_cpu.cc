// Ends the program with an error on a CPU without the instructions that the rest of the program is
// compiled for. This must run before any other code of the program, including global constructors,
// so this file is compiled for every x86-64 CPU and calls only the system.
#if !defined(__x86_64__)
#error "core/cli/BUILD.bazel compiles this file on x86-64 only"
#endif

#include <unistd.h>

#include <string_view>

namespace {

constexpr int kRefused = 2;
constexpr std::string_view kMessage =
    "error: this CPU lacks AVX2, FMA or BMI2, which this build needs (Intel since 2013, AMD since "
    "2017)\n";

// 101 is the first priority that is not the compiler's own.
__attribute__((constructor(101))) void RefuseOldCpu() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("bmi2")) {
    return;
  }
  if (write(STDERR_FILENO, kMessage.data(), kMessage.size()) < 0) _exit(kRefused);
  _exit(kRefused);
}

}  // namespace
