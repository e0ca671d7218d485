#include "correctness/tolerance/kernel_expectations.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"

namespace sluice {
namespace {

using reference::AttentionShape;
using reference::LayerNormShape;
using reference::LinearShape;
using reference::MatMulShape;
using reference::Values;

Values Magnitudes(Values values) {
  for (double& value : values) value = std::abs(value);
  return values;
}

Values Transposed(int64_t rows, int64_t columns, const Values& x) {
  Values out(x.size());
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) out[j * rows + i] = x[i * columns + j];
  }
  return out;
}

// Of a sum of num_terms terms in any order, per unit of the sum of their magnitudes.
double SumDeviation(double unit_roundoff, int64_t num_terms) {
  return unit_roundoff * std::sqrt(static_cast<double>(num_terms + 1));
}

// Adds the rounding of the values to `storage` unit roundoff.
void AddStorage(Expectation& expectation, double storage, const Arithmetic& arithmetic) {
  for (size_t i = 0; i < expectation.values.size(); ++i) {
    expectation.certain[i] += storage * std::abs(expectation.values[i]) + arithmetic.underflow;
  }
}

// a times b: the sums' roundings, and operands read short by up to `operand` of their size, which
// takes up to 2 * operand off each product.
Expectation ExpectMatMul(const MatMulShape& shape, const Values& a, const Values& b,
                         const Arithmetic& arithmetic) {
  Expectation result = Exactly(MatMul(shape, a, b));
  const Values magnitude = MatMul(shape, Magnitudes(a), Magnitudes(b));
  for (size_t i = 0; i < magnitude.size(); ++i) {
    result.deviation[i] = SumDeviation(arithmetic.accumulation, shape.inner) * magnitude[i];
    result.certain[i] = 2 * arithmetic.operand * magnitude[i];
  }
  return result;
}

}  // namespace

Expectation ExpectLinear(const LinearShape& shape, const Values& x, const Values& weight,
                         const Values& bias, const Arithmetic& arithmetic) {
  const auto [num_tokens, in_features, out_features] = shape;
  Expectation out = ExpectMatMul({num_tokens, in_features, out_features}, x,
                                 Transposed(out_features, in_features, weight), arithmetic);
  for (size_t i = 0; i < out.values.size(); ++i) {
    out.values[i] += bias[i % static_cast<size_t>(out_features)];
    out.certain[i] += arithmetic.accumulation * std::abs(out.values[i]);
  }
  AddStorage(out, arithmetic.storage, arithmetic);
  return out;
}

Expectation ThenRelu(Expectation expectation) {
  expectation.values = reference::Relu(expectation.values);
  return expectation;
}

Expectation ThenAdd(Expectation expectation, const Values& addend, const Arithmetic& arithmetic) {
  expectation.values = reference::Add(expectation.values, addend);
  AddStorage(expectation, arithmetic.accumulation + arithmetic.storage, arithmetic);
  return expectation;
}

Expectation ThenReluBackward(Expectation expectation, const Values& relu_out) {
  expectation.values = reference::ReluBackward(relu_out, expectation.values);
  expectation.deviation = reference::ReluBackward(relu_out, expectation.deviation);
  expectation.certain = reference::ReluBackward(relu_out, expectation.certain);
  return expectation;
}

LinearBackwardExpectation ExpectLinearBackward(const LinearShape& shape, const Values& x,
                                               const Values& weight, const Values& dout,
                                               const Arithmetic& arithmetic) {
  const auto [num_tokens, in_features, out_features] = shape;
  const Values dout_columns = Transposed(num_tokens, out_features, dout);
  LinearBackwardExpectation result{
      .x = ExpectMatMul({num_tokens, out_features, in_features}, dout, weight, arithmetic),
      .weight = ExpectMatMul({out_features, num_tokens, in_features}, dout_columns, x, arithmetic),
      .bias = ExpectMatMul({out_features, num_tokens, 1}, dout_columns,
                           Values(static_cast<size_t>(num_tokens), 1.0), arithmetic),
  };
  AddStorage(result.x, arithmetic.storage, arithmetic);
  AddStorage(result.weight, arithmetic.weight_gradient, arithmetic);
  AddStorage(result.bias, arithmetic.weight_gradient, arithmetic);
  return result;
}

namespace {

// Errors of a token's statistics, both deviations.
struct StatisticsError {
  double mean;           // absolute
  double relative_rstd;  // d rstd / rstd = -1/2 d variance / variance
};

// The variance is a sum of H squares of x - mean, each a few roundings off; that all of them share
// the error of the mean changes it in second order only.
StatisticsError StatisticsErrorOf(std::span<const double> token, double unit_roundoff) {
  const auto hidden_size = static_cast<int64_t>(token.size());
  double magnitude = 0;
  for (const double value : token) magnitude += std::abs(value);
  const double sum_deviation = SumDeviation(unit_roundoff, hidden_size);
  return {.mean = sum_deviation * magnitude / static_cast<double>(hidden_size),
          .relative_rstd = sum_deviation / 2 + 4 * unit_roundoff};
}

}  // namespace

// d out = weight * ((x - mean) d rstd - rstd d mean), and a rounding for each of x - mean, * rstd,
// * weight, + bias.
LayerNormExpectation ExpectLayerNorm(const LayerNormShape& shape, const Values& x,
                                     const Values& weight, const Values& bias,
                                     const Arithmetic& arithmetic) {
  const double u = arithmetic.accumulation;
  const auto hidden_size = static_cast<size_t>(shape.hidden_size);
  const reference::LayerNormOutput forward = LayerNorm(shape, x, weight, bias);
  LayerNormExpectation result{Exactly(forward.out), Exactly(forward.mean), Exactly(forward.rstd)};
  result.out.group_size = shape.hidden_size;  // a token's elements share its statistics
  for (size_t i = 0; i < forward.mean.size(); ++i) {
    const auto token = std::span(x).subspan(i * hidden_size, hidden_size);
    const StatisticsError error = StatisticsErrorOf(token, u);
    result.mean.deviation[i] = error.mean;
    result.rstd.deviation[i] = error.relative_rstd * forward.rstd[i];
    for (size_t h = 0; h < hidden_size; ++h) {
      const double scale = std::abs(weight[h]) * forward.rstd[i];
      const double centred = std::abs(token[h] - forward.mean[i]);
      result.out.deviation[i * hidden_size + h] =
          scale * (error.mean + centred * (error.relative_rstd + 3 * u)) +
          u * std::abs(forward.out[i * hidden_size + h]);
    }
  }
  AddStorage(result.out, arithmetic.storage, arithmetic);
  AddStorage(result.mean, u, arithmetic);
  AddStorage(result.rstd, u, arithmetic);
  return result;
}

// With n = (x - mean) * rstd and g = dout * weight, dx = rstd * (g - mean(g) - n * mean(g n)),
// and dweight sums dout * n, dbias dout over tokens.  Here n is off by n * relative_rstd + rstd * d
// mean; means over H add their own sums' deviations.
LayerNormBackwardExpectation ExpectLayerNormBackward(const LayerNormShape& shape, const Values& x,
                                                     const Values& weight, const Values& dout,
                                                     const Arithmetic& arithmetic) {
  const double u = arithmetic.accumulation;
  const auto size = static_cast<size_t>(shape.hidden_size);
  const reference::LayerNormGradients gradients = LayerNormBackward(shape, x, weight, dout);
  const reference::LayerNormOutput forward = LayerNorm(shape, x, weight, Values(size));
  LayerNormBackwardExpectation result{Exactly(gradients.x), Exactly(gradients.weight),
                                      Exactly(gradients.bias)};
  result.x.group_size = shape.hidden_size;
  result.weight.group_size = shape.hidden_size;  // all columns share the tokens' statistics
  const double over_hidden = SumDeviation(u, shape.hidden_size) + 4 * u;
  const double over_tokens = SumDeviation(u, shape.num_tokens) + 2 * u;
  for (size_t i = 0; i < forward.mean.size(); ++i) {
    const auto token = std::span(x).subspan(i * size, size);
    const double* token_dout = &dout[i * size];
    const StatisticsError error = StatisticsErrorOf(token, u);
    const double rstd = forward.rstd[i];
    const auto n = [&](size_t h) { return std::abs(token[h] - forward.mean[i]) * rstd; };
    const auto n_error = [&](size_t h) {
      return n(h) * (error.relative_rstd + 2 * u) + rstd * error.mean;
    };
    double mean_g = 0, mean_gn = 0, mean_gn_error = 0;
    for (size_t h = 0; h < size; ++h) {
      const double g = std::abs(token_dout[h] * weight[h]) / static_cast<double>(size);
      mean_g += g;
      mean_gn += g * n(h);
      mean_gn_error += g * n_error(h);
      result.weight.deviation[h] += std::abs(token_dout[h]) * (over_tokens * n(h) + n_error(h));
      result.bias.deviation[h] += std::abs(token_dout[h]) * over_tokens;
    }
    for (size_t h = 0; h < size; ++h) {
      const double g = std::abs(token_dout[h] * weight[h]);
      const double inside =
          over_hidden * (g + mean_g + n(h) * mean_gn) + n_error(h) * mean_gn + n(h) * mean_gn_error;
      result.x.deviation[i * size + h] =
          rstd * inside + (error.relative_rstd + 2 * u) * std::abs(gradients.x[i * size + h]);
    }
  }
  AddStorage(result.x, arithmetic.storage, arithmetic);
  AddStorage(result.weight, u, arithmetic);
  AddStorage(result.bias, u, arithmetic);
  return result;
}

namespace {

// One query's row of attention: the numbers of the formulas and the errors of what they share.
struct AttentionRow {
  Values p;              // softmax, over positions 0 .. query's
  Values random_error;   // deviation of each log p before the sum: independent of each other
  Values certain_error;  // of each log p: from operands that all of them share
  double log_sum_exp = 0;
};

class AttentionView {
 public:
  AttentionView(const AttentionShape& shape, const Values& qkv) : shape_(shape), qkv_(qkv) {}

  // part 0: q, 1: k, 2: v.
  size_t Offset(int64_t position, int64_t sequence, int64_t head, int64_t part) const {
    return static_cast<size_t>(
        (((position * shape_.batch_size + sequence) * shape_.num_heads + head) * 3 + part) *
        shape_.head_dim);
  }
  const double* At(int64_t position, int64_t sequence, int64_t head, int64_t part) const {
    return &qkv_[Offset(position, sequence, head, part)];
  }

  // A score s is a sum over D; exp(s - max) turns its absolute error into a relative one and adds
  // the rounding of s - max and of the function itself, taken as 4 u; the probability is rounded
  // again where it becomes an operand.
  AttentionRow Row(int64_t position, int64_t sequence, int64_t head,
                   const Arithmetic& arithmetic) const {
    const double u = arithmetic.accumulation;
    const double scale = 1 / std::sqrt(static_cast<double>(shape_.head_dim));
    const double* q = At(position, sequence, head, 0);
    AttentionRow row;
    Values scores, magnitudes;
    for (int64_t j = 0; j <= position; ++j) {
      const double* k = At(j, sequence, head, 1);
      double score = 0, magnitude = 0;
      for (int64_t d = 0; d < shape_.head_dim; ++d) {
        score += q[d] * k[d] * scale;
        magnitude += std::abs(q[d] * k[d]) * scale;
      }
      scores.push_back(score);
      magnitudes.push_back(magnitude);
    }
    const double largest = *std::max_element(scores.begin(), scores.end());
    double sum = 0;
    for (size_t j = 0; j < scores.size(); ++j) {
      row.p.push_back(std::exp(scores[j] - largest));
      sum += row.p.back();
      row.random_error.push_back(SumDeviation(u, shape_.head_dim) * magnitudes[j] +
                                 u * (2 * std::abs(scores[j]) + largest - scores[j] + 4) +
                                 arithmetic.intermediate);
      row.certain_error.push_back(2 * arithmetic.operand * magnitudes[j]);
    }
    for (double& p : row.p) p /= sum;
    row.log_sum_exp = largest + std::log(sum);
    return row;
  }

 private:
  const AttentionShape& shape_;
  const Values& qkv_;
};

// Blockwise softmax rescales its sums at each block: at most two more roundings a term.
double SoftmaxSumDeviation(double unit_roundoff, int64_t num_terms) {
  return SumDeviation(unit_roundoff, 3 * num_terms + 8);
}

}  // namespace

// out = sum of p v: an error e_j of log p_j moves it by p_j e_j (v_j - out), the sum and its
// normaliser round, and v is read as an operand.
AttentionExpectation ExpectCausalAttention(const AttentionShape& shape, const Values& qkv,
                                           const Arithmetic& arithmetic) {
  const reference::AttentionOutput forward = CausalAttention(shape, qkv);
  AttentionExpectation result{Exactly(forward.out), Exactly(forward.log_sum_exp)};
  result.out.group_size = shape.head_dim;  // the elements of a head share its probabilities
  const AttentionView view(shape, qkv);
  const double u = arithmetic.accumulation;
  size_t index = 0;
  for (int64_t i = shape.prefix_len; i < shape.prefix_len + shape.slice_len; ++i) {
    for (int64_t b = 0; b < shape.batch_size; ++b) {
      for (int64_t n = 0; n < shape.num_heads; ++n, ++index) {
        const AttentionRow row = view.Row(i, b, n, arithmetic);
        const double sums = SoftmaxSumDeviation(u, i + 1);
        double lse_squares = 0;
        for (int64_t d = 0; d < shape.head_dim; ++d) {
          const size_t element = index * static_cast<size_t>(shape.head_dim) + d;
          double squares = 0, magnitude = std::abs(forward.out[element]);
          for (int64_t j = 0; j <= i; ++j) {
            const double v = view.At(j, b, n, 2)[d];
            const double lever = row.p[j] * std::abs(v - forward.out[element]);
            squares += std::pow(lever * row.random_error[j], 2);
            magnitude += row.p[j] * std::abs(v);
            result.out.certain[element] += lever * row.certain_error[j];
          }
          result.out.deviation[element] = std::sqrt(squares) + sums * magnitude;
          result.out.certain[element] += 2 * arithmetic.operand * magnitude;
        }
        for (int64_t j = 0; j <= i; ++j) {
          lse_squares += std::pow(row.p[j] * row.random_error[j], 2);
          result.log_sum_exp.certain[index] += row.p[j] * row.certain_error[j];
        }
        result.log_sum_exp.deviation[index] = std::sqrt(lse_squares) + sums;
      }
    }
  }
  AddStorage(result.out, arithmetic.storage, arithmetic);
  // The logarithm and the addition of the maximum, which may be as large as the result.
  AddStorage(result.log_sum_exp, 4 * u, arithmetic);
  return result;
}

namespace {

// Adds one query's part to the errors of dqkv.  Errors are added in full, not in quadrature: a
// row's share delta and the log-sum-exp.
//   ds = p (dp - delta), dp = dout v, delta = dout out; dq = scale ds k, dk = scale ds q, dv = p
//   dout
void AddBackwardErrors(const AttentionShape& shape, const AttentionView& view, const double* dout,
                       const double* out, int64_t position, int64_t b, int64_t n,
                       const Arithmetic& arithmetic, Values& deviation) {
  const double u = arithmetic.accumulation;
  const double operand = 2 * arithmetic.operand + arithmetic.intermediate;
  const double scale = 1 / std::sqrt(static_cast<double>(shape.head_dim));
  const double over_dim = SumDeviation(u, shape.head_dim) + 2 * arithmetic.operand;
  const double over_positions =
      SumDeviation(u, shape.prefix_len + shape.slice_len) + operand + 2 * u;
  const AttentionRow row = view.Row(position, b, n, arithmetic);
  double delta = 0, delta_magnitude = 0, lse_error = SoftmaxSumDeviation(u, position + 1);
  for (int64_t d = 0; d < shape.head_dim; ++d) {
    delta += dout[d] * out[d];
    delta_magnitude += std::abs(dout[d] * out[d]);
  }
  for (int64_t j = 0; j <= position; ++j) {
    lse_error += row.p[j] * (row.random_error[j] + row.certain_error[j]);
  }
  lse_error += 4 * u * std::abs(row.log_sum_exp);
  const double delta_error = (over_dim + arithmetic.storage) * delta_magnitude;
  double* dq = &deviation[view.Offset(position, b, n, 0)];
  const double* q = view.At(position, b, n, 0);
  for (int64_t j = 0; j <= position; ++j) {
    const double* k = view.At(j, b, n, 1);
    const double* v = view.At(j, b, n, 2);
    double dp = 0, dp_magnitude = 0;
    for (int64_t d = 0; d < shape.head_dim; ++d) {
      dp += dout[d] * v[d];
      dp_magnitude += std::abs(dout[d] * v[d]);
    }
    const double p_error = row.random_error[j] + row.certain_error[j] + lse_error;
    const double ds = row.p[j] * std::abs(dp - delta);
    const double ds_error = ds * (p_error + 4 * u + over_positions) +
                            row.p[j] * (over_dim * dp_magnitude + delta_error);
    double* dk = &deviation[view.Offset(j, b, n, 1)];
    double* dv = &deviation[view.Offset(j, b, n, 2)];
    for (int64_t d = 0; d < shape.head_dim; ++d) {
      dq[d] += scale * ds_error * std::abs(k[d]);
      dk[d] += scale * ds_error * std::abs(q[d]);
      dv[d] += row.p[j] * (p_error + over_positions) * std::abs(dout[d]);
    }
  }
}

}  // namespace

Expectation ExpectCausalAttentionBackward(const AttentionShape& shape, const Values& qkv,
                                          const Values& dout, const Arithmetic& arithmetic) {
  Expectation result = Exactly(CausalAttentionBackward(shape, qkv, dout));
  result.group_size = std::max<int64_t>(1, static_cast<int64_t>(qkv.size()));
  const Values out = CausalAttention(shape, qkv).out;
  const AttentionView view(shape, qkv);
  size_t element = 0;
  for (int64_t i = shape.prefix_len; i < shape.prefix_len + shape.slice_len; ++i) {
    for (int64_t b = 0; b < shape.batch_size; ++b) {
      for (int64_t n = 0; n < shape.num_heads; ++n) {
        AddBackwardErrors(shape, view, &dout[element], &out[element], i, b, n, arithmetic,
                          result.deviation);
        element += static_cast<size_t>(shape.head_dim);
      }
    }
  }
  AddStorage(result, arithmetic.storage, arithmetic);
  return result;
}

Expectation ExpectLoss(const Values& z, const Values& r, const Arithmetic& arithmetic) {
  Expectation result = Exactly({reference::Loss(z, r)});
  const double magnitude = reference::Loss(Magnitudes(z), Magnitudes(r));
  result.deviation[0] =
      SumDeviation(arithmetic.accumulation, static_cast<int64_t>(z.size())) * magnitude;
  AddStorage(result, 2 * arithmetic.accumulation, arithmetic);
  return result;
}

}  // namespace sluice
