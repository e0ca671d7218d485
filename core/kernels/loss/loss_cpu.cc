#include "core/kernels/loss/loss_cpu.h"

#include "core/base/check.h"

namespace sluice::cpu {

template <typename T>
void LossForward(const LossForwardArgs& args) {
  const int64_t size = args.z.num_elements();
  const T* z = args.z.Data<T>();
  double sum = 0;
  if (args.r.present()) {
    SLUICE_CHECK_EQ(args.r.num_elements(), size);
    const T* r = args.r.Data<T>();
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < size; ++i) sum += static_cast<double>(z[i]) * static_cast<double>(r[i]);
  } else {
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < size; ++i) sum += static_cast<double>(z[i]);
  }
  T* loss = args.loss.Data<T>();
  if (args.write_mode == WriteMode::kOverwrite) *loss = 0;
  *loss += static_cast<T>(args.scale * sum);
}

template <typename T>
void LossBackward(ThreadPool& pool, const LossBackwardArgs& args) {
  const T scale = static_cast<T>(args.scale);
  const T* r = args.r.present() ? args.r.Data<T>() : nullptr;
  if (r != nullptr) SLUICE_CHECK_EQ(args.r.num_elements(), args.dz.num_elements());
  T* dz = args.dz.Data<T>();
  constexpr int64_t kGrain = 4096;
  pool.ParallelFor(args.dz.num_elements(), kGrain, [&](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) dz[i] = r != nullptr ? scale * r[i] : scale;
  });
}

template void LossForward<float>(const LossForwardArgs&);
template void LossForward<double>(const LossForwardArgs&);
template void LossBackward<float>(ThreadPool&, const LossBackwardArgs&);
template void LossBackward<double>(ThreadPool&, const LossBackwardArgs&);

}  // namespace sluice::cpu
