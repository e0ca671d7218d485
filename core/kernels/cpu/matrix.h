// Row-major matrices in memory, as gemm.h takes them.
#pragma once

#include <cstdint>

namespace sluice::cpu {

enum class Transpose : uint8_t { kNo, kYes };

// An operand or a result.  An operand [m, k] that is to be transposed is stored [k, m].
template <typename T>
struct Matrix {
  T* data;
  int64_t row_stride;                    // elements, as stored
  Transpose transpose = Transpose::kNo;  // of operands
};

struct GemmSize {
  int64_t m;
  int64_t n;
  int64_t k;
};

}  // namespace sluice::cpu
