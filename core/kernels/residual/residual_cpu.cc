#include "core/kernels/residual/residual_cpu.h"

#include "core/base/check.h"

namespace sluice::cpu {

template <typename T>
void AddBiasResidual(ThreadPool& pool, const AddBiasResidualArgs& args) {
  const int64_t hidden_size = args.bias.num_elements();
  const int64_t num_tokens = args.x.num_elements() / hidden_size;
  SLUICE_CHECK_EQ(args.x.num_elements(), num_tokens * hidden_size);
  SLUICE_CHECK_EQ(args.residual.num_elements(), args.x.num_elements());
  SLUICE_CHECK_EQ(args.out.num_elements(), args.x.num_elements());
  const T* bias = args.bias.Data<T>();
  pool.ParallelFor(num_tokens, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* x = args.x.Data<T>() + row * hidden_size;
      const T* residual = args.residual.Data<T>() + row * hidden_size;
      T* out = args.out.Data<T>() + row * hidden_size;
#pragma omp simd
      for (int64_t i = 0; i < hidden_size; ++i) out[i] = x[i] + bias[i] + residual[i];
    }
  });
}

template void AddBiasResidual<float>(ThreadPool&, const AddBiasResidualArgs&);
template void AddBiasResidual<double>(ThreadPool&, const AddBiasResidualArgs&);

}  // namespace sluice::cpu
