// The device side of LaunchOverlapped (launch.h).  Both calls do nothing before sm_90.
#pragma once

namespace sluice::cuda {

// Lets the next kernel of the stream start, where it was launched overlapped, as soon as all blocks
// have called this or ended.  It says nothing about memory.
__device__ inline void AllowNextKernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Returns when all kernels ahead on the stream have ended and what they wrote can be read.
__device__ inline void WaitForPreviousKernels() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

}  // namespace sluice::cuda
