// OpenBLAS under one name for float and double: what gemm.h uses where it has no product of its
// own. Every call runs on the calling thread alone: kernels split their work over the device's own
// pool, so that ranks that are threads of one process do not share a BLAS pool.
#pragma once

#include <string>

#include "core/kernels/cpu/matrix.h"
#include "core/kernels/write_mode.h"

namespace sluice::cpu {

// Gemm of gemm.h, without its scratch.
template <typename T>
void BlasGemm(GemmSize size, T alpha, Matrix<const T> a, Matrix<const T> b, WriteMode write_mode,
              Matrix<T> c);

// Keeps OpenBLAS from starting threads of its own.  Call once before the first BlasGemm.
void UseCallingThreadOnly();

// "OpenBLAS 0.3.21 SkylakeX": version and the kernels it chose for this CPU.
std::string BlasDescription();

}  // namespace sluice::cpu
