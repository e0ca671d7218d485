// OpenBLAS under one name for float and double.  Row-major.  Every call runs on the calling thread
// alone: kernels split their work over the device's own pool, so that ranks that are threads of one
// process do not share a BLAS pool.
#pragma once

#include <cstdint>
#include <string>

namespace sluice::cpu {

enum class Transpose : uint8_t { kNo, kYes };

// An operand or a result: the first element and the distance between rows, in elements.
template <typename T>
struct Matrix {
  T* data;
  int64_t row_stride;
  Transpose transpose =
      Transpose::kNo;  // of operands; as stored, so a transposed [m, k] is stored [k, m]
};

struct GemmSize {
  int64_t m;
  int64_t n;
  int64_t k;
};

// c = alpha a b + beta c, for a [m, k], b [k, n], c [m, n] after transposition.  beta 0 does not
// read c.
template <typename T>
void Gemm(GemmSize size, T alpha, Matrix<const T> a, Matrix<const T> b, T beta, Matrix<T> c);

// Keeps OpenBLAS from starting threads of its own.  Call once before the first Gemm.
void UseCallingThreadOnly();

// "OpenBLAS 0.3.21 SkylakeX": version and the kernels it chose for this CPU.
std::string BlasDescription();

}  // namespace sluice::cpu
