#include "core/kernels/layer_norm/layer_norm_cpu.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"

namespace sluice::cpu {
namespace {

template <typename T>
void ForwardRow(const LayerNormForwardArgs& args, int64_t row, int64_t hidden_size) {
  const T* x = args.x.Data<T>() + row * hidden_size;
  const T* weight = args.weight.Data<T>();
  const T* bias = args.bias.Data<T>();
  T* out = args.out.Data<T>() + row * hidden_size;
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < hidden_size; ++i) sum += x[i];
  const T mean = sum / static_cast<T>(hidden_size);
  // A second pass over the row, which is in the cache: no cancellation as in E[x^2] - E[x]^2.
  T squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < hidden_size; ++i) squares += (x[i] - mean) * (x[i] - mean);
  const T variance = squares / static_cast<T>(hidden_size);
  const T rstd = 1 / std::sqrt(variance + static_cast<T>(kLayerNormEpsilon));
#pragma omp simd
  for (int64_t i = 0; i < hidden_size; ++i) out[i] = (x[i] - mean) * rstd * weight[i] + bias[i];
  args.mean.Data<T>()[row] = mean;
  args.rstd.Data<T>()[row] = rstd;
}

// One token's dx, and its terms added to dweight and dbias.
template <typename T>
void BackwardRow(const LayerNormBackwardArgs& args, int64_t row, int64_t hidden_size, T* dweight,
                 T* dbias) {
  const T* x = args.x.Data<T>() + row * hidden_size;
  const T* weight = args.weight.Data<T>();
  const T* dout = args.dout.Data<T>() + row * hidden_size;
  T* dx = args.dx.Data<T>() + row * hidden_size;
  const T mean = args.mean.Data<T>()[row];
  const T rstd = args.rstd.Data<T>()[row];
  T sum = 0;         // of dnorm, the gradient of the normalised value
  T sum_scaled = 0;  // of dnorm * normalised value
#pragma omp simd reduction(+ : sum, sum_scaled)
  for (int64_t i = 0; i < hidden_size; ++i) {
    const T norm = (x[i] - mean) * rstd;
    const T dnorm = dout[i] * weight[i];
    sum += dnorm;
    sum_scaled += dnorm * norm;
    dweight[i] += dout[i] * norm;
    dbias[i] += dout[i];
  }
  const T mean_dnorm = sum / static_cast<T>(hidden_size);
  const T mean_scaled = sum_scaled / static_cast<T>(hidden_size);
  const T* residual = args.residual_gradient.present()
                          ? args.residual_gradient.Data<T>() + row * hidden_size
                          : nullptr;
  // dx may be dout or the residual gradient itself: each element is read before it is written.
#pragma omp simd
  for (int64_t i = 0; i < hidden_size; ++i) {
    const T norm = (x[i] - mean) * rstd;
    const T through = rstd * (dout[i] * weight[i] - mean_dnorm - norm * mean_scaled);
    dx[i] = residual != nullptr ? through + residual[i] : through;
  }
}

}  // namespace

template <typename T>
void LayerNormForward(ThreadPool& pool, const LayerNormForwardArgs& args) {
  const int64_t hidden_size = args.weight.num_elements();
  const int64_t num_tokens = args.mean.num_elements();
  SLUICE_CHECK_EQ(args.x.num_elements(), num_tokens * hidden_size);
  SLUICE_CHECK_EQ(args.out.num_elements(), num_tokens * hidden_size);
  pool.ParallelFor(num_tokens, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) ForwardRow<T>(args, row, hidden_size);
  });
}

template <typename T>
void LayerNormBackward(ThreadPool& pool, const LayerNormBackwardArgs& args, T* partials) {
  const int64_t hidden_size = args.weight.num_elements();
  const int64_t num_tokens = args.mean.num_elements();
  SLUICE_CHECK_EQ(args.dout.num_elements(), num_tokens * hidden_size);
  SLUICE_CHECK_EQ(args.dx.num_elements(), num_tokens * hidden_size);
  const int num_threads = pool.num_threads();
  pool.Run([&](int worker) {
    T* dweight = partials + worker * 2 * hidden_size;
    std::fill(dweight, dweight + 2 * hidden_size, T{0});
    const int64_t end = num_tokens * (worker + 1) / num_threads;
    for (int64_t row = num_tokens * worker / num_threads; row < end; ++row) {
      BackwardRow<T>(args, row, hidden_size, dweight, dweight + hidden_size);
    }
  });
  const auto reduce = [&](const Tensor& gradient, const T* first_partial) {
    T* sum = gradient.Data<T>();
    if (args.write_mode == WriteMode::kOverwrite) std::fill(sum, sum + hidden_size, T{0});
    for (int worker = 0; worker < num_threads; ++worker) {
      const T* partial = first_partial + worker * 2 * hidden_size;
#pragma omp simd
      for (int64_t i = 0; i < hidden_size; ++i) sum[i] += partial[i];
    }
  };
  reduce(args.dweight, partials);
  reduce(args.dbias, partials + hidden_size);
}

template void LayerNormForward<float>(ThreadPool&, const LayerNormForwardArgs&);
template void LayerNormForward<double>(ThreadPool&, const LayerNormForwardArgs&);
template void LayerNormBackward<float>(ThreadPool&, const LayerNormBackwardArgs&, float*);
template void LayerNormBackward<double>(ThreadPool&, const LayerNormBackwardArgs&, double*);

}  // namespace sluice::cpu
