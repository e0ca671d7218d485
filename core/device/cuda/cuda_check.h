// Checks for calls of CUDA and cuBLAS: every one of them stands inside one of these.
//
//   SLUICE_CUDA_CHECK(cudaStreamSynchronize(stream));
//   SLUICE_CUBLAS_CHECK(cublasLtCreate(&handle));
//   LayerNormKernel<<<grid, block, 0, stream>>>(x);
//   SLUICE_CUDA_CHECK_LAUNCH("LayerNormForward");
//
// A failed check prints file, line, rank, the expression, the code with its name and its text, and
// aborts. The errors that a kernel causes (an illegal address, say) come back from some later call:
// the message then lists the kernels that this thread enqueued last, newest first.  Under
// CUDA_LAUNCH_BLOCKING=1 the check after the launch itself fails, and so names the kernel.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

namespace sluice::cuda {

// For the macros below.
void CheckCuda(cudaError_t code, const char* expression, const char* file, int line);
void CheckCublas(cublasStatus_t code, const char* expression, const char* file, int line);
void CheckLaunch(const char* kernel, const char* file, int line);

}  // namespace sluice::cuda

#define SLUICE_CUDA_CHECK(expression) \
  ::sluice::cuda::CheckCuda((expression), #expression, __FILE__, __LINE__)

#define SLUICE_CUBLAS_CHECK(expression) \
  ::sluice::cuda::CheckCublas((expression), #expression, __FILE__, __LINE__)

// After each <<<>>>: `kernel` is the name to report, a string literal.
#define SLUICE_CUDA_CHECK_LAUNCH(kernel) ::sluice::cuda::CheckLaunch(kernel, __FILE__, __LINE__)
