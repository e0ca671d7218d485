// OpenBLAS under one name for float and double: what gemm.h uses where it has no product of its
// own.  Every call runs on the calling thread alone: kernels split their work over the device's own
// pool, so that ranks that are threads of one process do not share a BLAS pool.  Programs are
// linked with the serial OpenBLAS, which has no threads and may be called by many at once.
#pragma once

#include <string>

#include "core/kernels/cpu/matrix.h"
#include "core/kernels/write_mode.h"

namespace sluice::cpu {

// Gemm of gemm.h, without its scratch.
template <typename T>
void BlasGemm(GemmSize size, T alpha, Matrix<const T> a, Matrix<const T> b, WriteMode write_mode,
              Matrix<T> c);

// Throws Error where the dynamic linker found an OpenBLAS that has started threads of its own: they
// use cores that the ranks are timed on, even where no product is OpenBLAS's.
void CheckBlasHasNoThreads();

// "OpenBLAS 0.3.21 SkylakeX": version and the kernels it chose for this CPU.
std::string BlasDescription();

}  // namespace sluice::cpu
