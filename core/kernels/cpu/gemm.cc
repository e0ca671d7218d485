#include "core/kernels/cpu/gemm.h"

#include <cstdlib>

#include "core/kernels/cpu/blas.h"
#include "core/kernels/cpu/gemm_blocks.h"
#if defined(__x86_64__)
#include "core/kernels/cpu/gemm_avx512.h"
#endif

namespace sluice::cpu {

bool HasOwnGemm() {
#if defined(__x86_64__)
  // What x86-64-v4, which gemm_avx512.cc is compiled for, has beyond the rest of the program.
  // Under valgrind, which knows no AVX-512, the CPU still claims to have it: the variable says no.
  static const bool has = std::getenv("SLUICE_NO_AVX512") == nullptr &&
                          __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512cd") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return has;
#else
  return false;
#endif
}

std::string GemmDescription() { return HasOwnGemm() ? "own AVX-512" : BlasDescription(); }

template <typename T>
int64_t GemmScratchSize() {
  return kGemmScratchBytes / static_cast<int64_t>(sizeof(T));
}

template <typename T>
void Gemm(GemmSize size, T alpha, Matrix<const T> a, Matrix<const T> b, WriteMode write_mode,
          Matrix<T> c, [[maybe_unused]] T* scratch) {
#if defined(__x86_64__)
  if (HasOwnGemm()) return GemmAvx512({size, alpha, a, b, write_mode, c, scratch});
#endif
  BlasGemm<T>(size, alpha, a, b, write_mode, c);
}

template int64_t GemmScratchSize<float>();
template int64_t GemmScratchSize<double>();
template void Gemm<float>(GemmSize, float, Matrix<const float>, Matrix<const float>, WriteMode,
                          Matrix<float>, float*);
template void Gemm<double>(GemmSize, double, Matrix<const double>, Matrix<const double>, WriteMode,
                           Matrix<double>, double*);

}  // namespace sluice::cpu
