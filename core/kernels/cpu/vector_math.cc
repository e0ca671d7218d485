#include "core/kernels/cpu/vector_math.h"

#include <cmath>
#include <limits>

// glibc's vector math library (libmvec, at most 4 units in the last place off) has these under SIMD
// names; declared so, the loops below call them.  Elsewhere the loops call the scalar functions.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
extern "C" {
__attribute__((__simd__("notinbranch"))) float expf(float) noexcept;
__attribute__((__simd__("notinbranch"))) double exp(double) noexcept;
}
#endif

namespace sluice::cpu {
namespace {

inline float Exp(float x) { return ::expf(x); }
inline double Exp(double x) { return ::exp(x); }

}  // namespace

template <typename T>
T ExpShiftedInPlace(T* x, int64_t size, T shift) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < size; ++i) {
    x[i] = Exp(x[i] - shift);
    sum += x[i];
  }
  return sum;
}

template <typename T>
T Max(const T* x, int64_t size) {
  T max = -std::numeric_limits<T>::infinity();
#pragma omp simd reduction(max : max)
  for (int64_t i = 0; i < size; ++i) max = x[i] > max ? x[i] : max;
  return max;
}

template <typename T>
T Dot(const T* x, const T* y, int64_t size) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < size; ++i) sum += x[i] * y[i];
  return sum;
}

template float ExpShiftedInPlace<float>(float*, int64_t, float);
template double ExpShiftedInPlace<double>(double*, int64_t, double);
template float Max<float>(const float*, int64_t);
template double Max<double>(const double*, int64_t);
template float Dot<float>(const float*, const float*, int64_t);
template double Dot<double>(const double*, const double*, int64_t);

}  // namespace sluice::cpu
