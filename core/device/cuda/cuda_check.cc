#include "core/device/cuda/cuda_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "core/base/check.h"

namespace sluice::cuda {
namespace {

// The names of the last launches of this thread; launch i is at i % size.
struct RecentLaunches {
  static constexpr uint64_t kCapacity = 8;
  std::array<const char*, kCapacity> names = {};
  uint64_t count = 0;
};
thread_local RecentLaunches recent_launches;

std::string NewestFirst(const RecentLaunches& launches) {
  std::string text;
  const uint64_t num_kept = std::min(launches.count, RecentLaunches::kCapacity);
  for (uint64_t i = 1; i <= num_kept; ++i) {
    if (i > 1) text += ", ";
    text += launches.names[(launches.count - i) % RecentLaunches::kCapacity];
  }
  return text;
}

// Errors that a running kernel causes, and that whichever call comes next returns.
bool IsCausedByKernel(cudaError_t code) {
  switch (code) {
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorIllegalInstruction:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
      return true;
    default:
      return false;
  }
}

std::string Describe(cudaError_t code) {
  return fmt::format("{} ({}): {}", cudaGetErrorName(code), static_cast<int>(code),
                     cudaGetErrorString(code));
}

}  // namespace

void CheckCuda(cudaError_t code, const char* expression, const char* file, int line) {
  if (code == cudaSuccess) [[likely]]
    return;
  std::string text = fmt::format("{} failed with {}", expression, Describe(code));
  if (IsCausedByKernel(code) && recent_launches.count > 0) {
    text += fmt::format(
        "; a kernel enqueued before caused it, the last of this thread, newest first: {} "
        "(CUDA_LAUNCH_BLOCKING=1 tells which)",
        NewestFirst(recent_launches));
  }
  internal::CheckFailed(file, line, text);
}

void CheckCublas(cublasStatus_t code, const char* expression, const char* file, int line) {
  if (code == CUBLAS_STATUS_SUCCESS) [[likely]]
    return;
  internal::CheckFailed(
      file, line,
      fmt::format("{} failed with {} ({}): {}", expression, cublasLtGetStatusName(code),
                  static_cast<int>(code), cublasLtGetStatusString(code)));
}

void CheckLaunch(const char* kernel, const char* file, int line) {
  const cudaError_t code = cudaPeekAtLastError();
  if (code != cudaSuccess) [[unlikely]] {
    std::string text = fmt::format("the launch of {} failed with {}", kernel, Describe(code));
    if (IsCausedByKernel(code) && recent_launches.count > 0) {
      text += fmt::format("; enqueued before, newest first: {}", NewestFirst(recent_launches));
    }
    internal::CheckFailed(file, line, text);
  }
  recent_launches.names[recent_launches.count % RecentLaunches::kCapacity] = kernel;
  ++recent_launches.count;
}

}  // namespace sluice::cuda
