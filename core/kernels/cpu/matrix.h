// Row-major matrices in memory, as gemm.h takes them.
#pragma once

#include <cstdint>

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

}  // namespace sluice::cpu
