#include "core/reference/ops.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"

namespace sluice::reference {
namespace {

constexpr double kEpsilon = 1e-5;

Values Zeros(int64_t size) { return Values(static_cast<size_t>(size), 0.0); }

void CheckSize(const Values& values, int64_t size) {
  SLUICE_CHECK_EQ(values.size(), static_cast<size_t>(size));
}

// out += scale * x, n elements each.
void AddScaled(int64_t n, double scale, const double* __restrict x, double* __restrict out) {
  for (int64_t i = 0; i < n; ++i) out[i] += scale * x[i];
}

// x [rows, columns] as [columns, rows].
Values Transposed(int64_t rows, int64_t columns, const Values& x) {
  Values out = Zeros(rows * columns);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) out[j * rows + i] = x[i * columns + j];
  }
  return out;
}

}  // namespace

Values MatMul(const MatMulShape& shape, const Values& a, const Values& b) {
  const auto [rows, inner, columns] = shape;
  CheckSize(a, rows * inner);
  CheckSize(b, inner * columns);
  Values out = Zeros(rows * columns);
  // Rows of b are taken in blocks that stay in the cache while all rows of a pass by.
  constexpr int64_t kBlock = 32;
  for (int64_t begin = 0; begin < inner; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, inner);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t k = begin; k < end; ++k) {
        AddScaled(columns, a[i * inner + k], &b[k * columns], &out[i * columns]);
      }
    }
  }
  return out;
}

Values Linear(const LinearShape& shape, const Values& x, const Values& weight, const Values& bias) {
  const auto [num_tokens, in_features, out_features] = shape;
  CheckSize(weight, out_features * in_features);
  CheckSize(bias, out_features);
  Values out = MatMul({num_tokens, in_features, out_features}, x,
                      Transposed(out_features, in_features, weight));
  for (int64_t i = 0; i < num_tokens; ++i) {
    AddScaled(out_features, 1.0, bias.data(), &out[i * out_features]);
  }
  return out;
}

LinearGradients LinearBackward(const LinearShape& shape, const Values& x, const Values& weight,
                               const Values& dout) {
  const auto [num_tokens, in_features, out_features] = shape;
  LinearGradients gradients;
  gradients.x = MatMul({num_tokens, out_features, in_features}, dout, weight);
  gradients.weight = MatMul({out_features, num_tokens, in_features},
                            Transposed(num_tokens, out_features, dout), x);
  gradients.bias = Zeros(out_features);
  for (int64_t i = 0; i < num_tokens; ++i) {
    AddScaled(out_features, 1.0, &dout[i * out_features], gradients.bias.data());
  }
  return gradients;
}

Values Relu(const Values& x) {
  Values out = x;
  // Not std::max: a NaN stays one.
  for (double& value : out) value = value < 0 ? 0 : value;
  return out;
}

Values ReluBackward(const Values& relu_out, const Values& dout) {
  SLUICE_CHECK_EQ(relu_out.size(), dout.size());
  Values dx = dout;
  for (size_t i = 0; i < dx.size(); ++i) {
    if (relu_out[i] <= 0) dx[i] = 0;
  }
  return dx;
}

Values Add(const Values& a, const Values& b) {
  SLUICE_CHECK_EQ(a.size(), b.size());
  Values out = a;
  for (size_t i = 0; i < out.size(); ++i) out[i] += b[i];
  return out;
}

LayerNormOutput LayerNorm(const LayerNormShape& shape, const Values& x, const Values& weight,
                          const Values& bias) {
  const auto [num_tokens, hidden_size] = shape;
  CheckSize(x, num_tokens * hidden_size);
  CheckSize(weight, hidden_size);
  CheckSize(bias, hidden_size);
  LayerNormOutput result{Zeros(num_tokens * hidden_size), Zeros(num_tokens), Zeros(num_tokens)};
  const double size = static_cast<double>(hidden_size);
  for (int64_t i = 0; i < num_tokens; ++i) {
    const double* token = &x[i * hidden_size];
    double sum = 0;
    for (int64_t h = 0; h < hidden_size; ++h) sum += token[h];
    const double mean = sum / size;
    double squares = 0;
    for (int64_t h = 0; h < hidden_size; ++h) squares += (token[h] - mean) * (token[h] - mean);
    const double rstd = 1 / std::sqrt(squares / size + kEpsilon);
    for (int64_t h = 0; h < hidden_size; ++h) {
      result.out[i * hidden_size + h] = (token[h] - mean) * rstd * weight[h] + bias[h];
    }
    result.mean[i] = mean;
    result.rstd[i] = rstd;
  }
  return result;
}

// With n = (x - mean) * rstd and g = dout * weight: dx = rstd * (g - mean(g) - n * mean(g * n)).
LayerNormGradients LayerNormBackward(const LayerNormShape& shape, const Values& x,
                                     const Values& weight, const Values& dout) {
  const auto [num_tokens, hidden_size] = shape;
  CheckSize(dout, num_tokens * hidden_size);
  const LayerNormOutput forward = LayerNorm(shape, x, weight, Zeros(hidden_size));
  LayerNormGradients gradients{Zeros(num_tokens * hidden_size), Zeros(hidden_size),
                               Zeros(hidden_size)};
  const double size = static_cast<double>(hidden_size);
  Values normalised = Zeros(hidden_size);
  for (int64_t i = 0; i < num_tokens; ++i) {
    const double* token = &x[i * hidden_size];
    const double* token_dout = &dout[i * hidden_size];
    double sum_g = 0, sum_gn = 0;
    for (int64_t h = 0; h < hidden_size; ++h) {
      normalised[h] = (token[h] - forward.mean[i]) * forward.rstd[i];
      gradients.weight[h] += token_dout[h] * normalised[h];
      gradients.bias[h] += token_dout[h];
      sum_g += token_dout[h] * weight[h];
      sum_gn += token_dout[h] * weight[h] * normalised[h];
    }
    for (int64_t h = 0; h < hidden_size; ++h) {
      gradients.x[i * hidden_size + h] =
          forward.rstd[i] *
          (token_dout[h] * weight[h] - sum_g / size - normalised[h] * sum_gn / size);
    }
  }
  return gradients;
}

namespace {

// q, k and v of one head of one sequence, each [P + L, D].
struct Head {
  Values q, k, v;
};

// Where position `position` of a head starts in a tensor [.., B, N, width].
int64_t Offset(const AttentionShape& shape, int64_t position, int64_t sequence, int64_t head,
               int64_t width) {
  return ((position * shape.batch_size + sequence) * shape.num_heads + head) * width;
}

Head GatherHead(const AttentionShape& shape, const Values& qkv, int64_t sequence, int64_t head) {
  const int64_t dim = shape.head_dim;
  Head result;
  for (int64_t t = 0; t < shape.prefix_len + shape.slice_len; ++t) {
    const auto q = qkv.begin() + Offset(shape, t, sequence, head, 3 * dim);
    result.q.insert(result.q.end(), q, q + dim);
    result.k.insert(result.k.end(), q + dim, q + 2 * dim);
    result.v.insert(result.v.end(), q + 2 * dim, q + 3 * dim);
  }
  return result;
}

void ScatterHead(const AttentionShape& shape, const Head& from, int64_t sequence, int64_t head,
                 Values& qkv) {
  const int64_t dim = shape.head_dim;
  for (int64_t t = 0; t < shape.prefix_len + shape.slice_len; ++t) {
    const auto q = qkv.begin() + Offset(shape, t, sequence, head, 3 * dim);
    std::copy_n(from.q.begin() + t * dim, dim, q);
    std::copy_n(from.k.begin() + t * dim, dim, q + dim);
    std::copy_n(from.v.begin() + t * dim, dim, q + 2 * dim);
  }
}

// row [dim] times columns_first [dim, stride], of which the first `count` columns are used.
Values RowTimes(const double* row, const Values& columns_first, int64_t dim, int64_t count) {
  const int64_t stride = static_cast<int64_t>(columns_first.size()) / dim;
  Values out = Zeros(count);
  for (int64_t d = 0; d < dim; ++d) {
    AddScaled(count, row[d], &columns_first[d * stride], out.data());
  }
  return out;
}

struct Softmax {
  Values probabilities;
  double log_sum_exp = 0;
};

Softmax SoftmaxOf(Values scores) {
  const double largest = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (double& score : scores) {
    score = std::exp(score - largest);
    sum += score;
  }
  for (double& score : scores) score /= sum;
  return {std::move(scores), largest + std::log(sum)};
}

// Softmax over positions 0 .. position of the scaled scores of the query at `position`.
// k_columns is k as [D, P + L].
Softmax AttentionRow(const AttentionShape& shape, const Head& head, const Values& k_columns,
                     int64_t position) {
  Values scores =
      RowTimes(&head.q[position * shape.head_dim], k_columns, shape.head_dim, position + 1);
  const double scale = 1 / std::sqrt(static_cast<double>(shape.head_dim));
  for (double& score : scores) score *= scale;
  return SoftmaxOf(std::move(scores));
}

void CheckQkvSize(const AttentionShape& shape, const Values& qkv) {
  CheckSize(qkv, Offset(shape, shape.prefix_len + shape.slice_len, 0, 0, 3 * shape.head_dim));
}

}  // namespace

AttentionOutput CausalAttention(const AttentionShape& shape, const Values& qkv) {
  CheckQkvSize(shape, qkv);
  const int64_t dim = shape.head_dim;
  const int64_t total_len = shape.prefix_len + shape.slice_len;
  AttentionOutput result{Zeros(Offset(shape, shape.slice_len, 0, 0, dim)),
                         Zeros(Offset(shape, shape.slice_len, 0, 0, 1))};
  for (int64_t b = 0; b < shape.batch_size; ++b) {
    for (int64_t n = 0; n < shape.num_heads; ++n) {
      const Head head = GatherHead(shape, qkv, b, n);
      const Values k_columns = Transposed(total_len, dim, head.k);
      for (int64_t i = 0; i < shape.slice_len; ++i) {
        const Softmax row = AttentionRow(shape, head, k_columns, shape.prefix_len + i);
        result.log_sum_exp[Offset(shape, i, b, n, 1)] = row.log_sum_exp;
        double* out = &result.out[Offset(shape, i, b, n, dim)];
        for (int64_t j = 0; j <= shape.prefix_len + i; ++j) {
          AddScaled(dim, row.probabilities[j], &head.v[j * dim], out);
        }
      }
    }
  }
  return result;
}

// With p = softmax(s), s = scale * q k^T: dp = dout v^T, ds = p * (dp - sum(p * dp)),
// dq = scale * ds k, dk = scale * ds^T q, dv = p^T dout.
Values CausalAttentionBackward(const AttentionShape& shape, const Values& qkv, const Values& dout) {
  CheckQkvSize(shape, qkv);
  CheckSize(dout, Offset(shape, shape.slice_len, 0, 0, shape.head_dim));
  const int64_t dim = shape.head_dim;
  const int64_t total_len = shape.prefix_len + shape.slice_len;
  const double scale = 1 / std::sqrt(static_cast<double>(dim));
  Values dqkv = Zeros(static_cast<int64_t>(qkv.size()));
  for (int64_t b = 0; b < shape.batch_size; ++b) {
    for (int64_t n = 0; n < shape.num_heads; ++n) {
      const Head head = GatherHead(shape, qkv, b, n);
      const Values k_columns = Transposed(total_len, dim, head.k);
      const Values v_columns = Transposed(total_len, dim, head.v);
      Head gradient{Zeros(total_len * dim), Zeros(total_len * dim), Zeros(total_len * dim)};
      for (int64_t i = 0; i < shape.slice_len; ++i) {
        const int64_t position = shape.prefix_len + i;
        const double* row_dout = &dout[Offset(shape, i, b, n, dim)];
        const Values p = AttentionRow(shape, head, k_columns, position).probabilities;
        const Values dp = RowTimes(row_dout, v_columns, dim, position + 1);
        double sum_pdp = 0;
        for (int64_t j = 0; j <= position; ++j) sum_pdp += p[j] * dp[j];
        for (int64_t j = 0; j <= position; ++j) {
          const double ds = scale * p[j] * (dp[j] - sum_pdp);
          AddScaled(dim, ds, &head.k[j * dim], &gradient.q[position * dim]);
          AddScaled(dim, ds, &head.q[position * dim], &gradient.k[j * dim]);
          AddScaled(dim, p[j], row_dout, &gradient.v[j * dim]);
        }
      }
      ScatterHead(shape, gradient, b, n, dqkv);
    }
  }
  return dqkv;
}

double Loss(const Values& z, const Values& r) {
  if (!r.empty()) SLUICE_CHECK_EQ(z.size(), r.size());
  double sum = 0;
  for (size_t i = 0; i < z.size(); ++i) sum += r.empty() ? z[i] : z[i] * r[i];
  return sum / static_cast<double>(z.size());
}

Values LossBackward(int64_t size, const Values& r) {
  Values dz = r.empty() ? Values(static_cast<size_t>(size), 1.0) : r;
  CheckSize(dz, size);
  for (double& value : dz) value /= static_cast<double>(size);
  return dz;
}

}  // namespace sluice::reference
