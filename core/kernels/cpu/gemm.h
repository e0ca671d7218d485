// Matrix products on the CPU, row-major, in float and double.
//
// An own product, because those of the model have forms that BLAS libraries are not made for: few
// rows (the tokens of a slice) against weights that are read once and so come from memory,
// gradients of weights with few terms to a sum, and heads of 64 features.  It is blocked as in Goto
// and van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34 (2008), and
// Van Zee and van de Geijn, "BLIS", ACM TOMS 41 (2015), and fetches the next panel of the larger
// operand ahead of its use.  It needs AVX-512; on other CPUs OpenBLAS computes the products.  Which
// one is found out at run time.
//
// Every call runs on the calling thread alone: kernels split their work over the device's own pool.
// In the own product an element's sum has one order, which depends on k alone: results do not
// change with the share of c that a call computes, so not with the number of threads.
#pragma once

#include <cstdint>
#include <string>

#include "core/kernels/cpu/matrix.h"
#include "core/kernels/write_mode.h"

namespace sluice::cpu {

// Elements of scratch that a call needs, whatever its size: copies of parts of a and b.  A multiple
// of 16.
template <typename T>
int64_t GemmScratchSize();

// c (+)= alpha a b, for a [m, k], b [k, n], c [m, n] after transposition.
//
//   a, b     read
//   c        overwritten or accumulated, by write_mode; must not overlap a and b
//   scratch  [GemmScratchSize<T>()], overwritten; fastest where it starts a cache line
template <typename T>
void Gemm(GemmSize size, T alpha, Matrix<const T> a, Matrix<const T> b, WriteMode write_mode,
          Matrix<T> c, T* scratch);

// Whether Gemm is the own product on this machine: where there is AVX-512, unless the environment
// has SLUICE_NO_AVX512.
bool HasOwnGemm();

// What Gemm is on this machine: "own AVX-512", or OpenBLAS's version and kernels.
std::string GemmDescription();

}  // namespace sluice::cpu
