#include "core/kernels/cpu/blas.h"

#include <cblas.h>
#include <fmt/format.h>

#include <type_traits>

#include "core/base/error.h"

namespace sluice::cpu {
namespace {

CBLAS_TRANSPOSE ToCblas(Transpose transpose) {
  return transpose == Transpose::kYes ? CblasTrans : CblasNoTrans;
}

}  // namespace

template <typename T>
void BlasGemm(GemmSize size, T alpha, Matrix<const T> a, Matrix<const T> b, WriteMode write_mode,
              Matrix<T> c) {
  if (size.m == 0 || size.n == 0) return;
  const T beta = write_mode == WriteMode::kAccumulate ? 1 : 0;
  const auto gemm = [&](auto function) {
    function(CblasRowMajor, ToCblas(a.transpose), ToCblas(b.transpose),
             static_cast<blasint>(size.m), static_cast<blasint>(size.n),
             static_cast<blasint>(size.k), alpha, a.data, static_cast<blasint>(a.row_stride),
             b.data, static_cast<blasint>(b.row_stride), beta, c.data,
             static_cast<blasint>(c.row_stride));
  };
  if constexpr (std::is_same_v<T, float>) {
    gemm(cblas_sgemm);
  } else {
    gemm(cblas_dgemm);
  }
}

template void BlasGemm<float>(GemmSize, float, Matrix<const float>, Matrix<const float>, WriteMode,
                              Matrix<float>);
template void BlasGemm<double>(GemmSize, double, Matrix<const double>, Matrix<const double>,
                               WriteMode, Matrix<double>);

void CheckBlasHasNoThreads() {
  // A threaded OpenBLAS starts its threads when it is loaded, unless it is told to use one.
  static const int num_threads = openblas_get_num_threads();
  if (openblas_get_parallel() == OPENBLAS_SEQUENTIAL || num_threads == 1) return;
  throw Error(fmt::format(
      "{} was found, which has started threads for {} cores that this program does not use and "
      "that slow it down; install the serial OpenBLAS (on Debian: libopenblas0-serial), or set "
      "OPENBLAS_NUM_THREADS=1",
      BlasDescription(), num_threads));
}

std::string BlasDescription() {
  // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH NO_AFFINITY SkylakeX MAX_THREADS=64": the first two
  // words say enough.
  const std::string config = openblas_get_config();
  const size_t version_end = config.find(' ', config.find(' ') + 1);
  return config.substr(0, version_end) + " " + openblas_get_corename();
}

}  // namespace sluice::cpu
