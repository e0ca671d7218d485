#include "correctness/emulation/emulated_stack.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "correctness/tolerance/number_format.h"

namespace sluice {
namespace {

using reference::Values;
using Floats = std::vector<float>;

Floats Transposed(int64_t rows, int64_t columns, const Floats& x) {
  Floats out(x.size());
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) out[j * rows + i] = x[i * columns + j];
  }
  return out;
}

void AddScaled(int64_t n, float scale, const float* __restrict x, float* __restrict out) {
  for (int64_t i = 0; i < n; ++i) out[i] += scale * x[i];
}

// Whether a rank of a tensor-parallel group holds columns of the weight, not rows.
bool IsRowParallel(const std::string& name) { return name == "attn.out_proj" || name == "fc2"; }

struct Layer {
  Floats x, mean, rstd, attn_ln, qkv, attention, lse, y, fc_mean, fc_rstd, fc_ln, relu;
};

class EmulatedStack {
 public:
  EmulatedStack(const reference::Problem& problem, const Emulation& emulation)
      : problem_(problem),
        emulation_(emulation),
        storage_(FormatOf(StorageDType(emulation.precision))),
        gradient_(FormatOf(emulation.grad_dtype)),
        h_(problem.config.hidden_size),
        num_tokens_(problem.config.seq_len * problem.batch_size) {
    for (const reference::NamedValues& layer : problem.weights) {
      for (const auto& [name, values] : layer) {
        const bool is_norm = name.find("_ln.") != std::string::npos;
        weights_[&values] = is_norm ? Floats(values.begin(), values.end()) : Stored(values);
      }
    }
  }

  reference::Step Run() {
    Floats x = Stored(problem_.input);
    for (size_t i = 0; i < problem_.weights.size(); ++i) x = Forward(i, std::move(x));
    reference::Step step;
    step.output = Values(x.begin(), x.end());
    const Floats r(problem_.projection.begin(), problem_.projection.end());
    step.loss = static_cast<float>(reference::Loss(step.output, Values(r.begin(), r.end())));
    step.gradients.resize(problem_.weights.size());
    const auto scale =
        static_cast<float>(emulation_.gradient_scale / static_cast<double>(x.size()));
    Floats gradient(x.size(), scale);
    for (size_t i = 0; i < r.size(); ++i) gradient[i] = r[i] * scale;
    Store(gradient);
    for (size_t i = problem_.weights.size(); i-- > 0;) {
      gradient = Backward(i, std::move(gradient), step.gradients[i]);
    }
    step.input_gradient = Unscaled(gradient);
    return step;
  }

 private:
  void Store(Floats& x) const {
    if (storage_.significand_bits == kFloat32Format.significand_bits) return;
    for (float& value : x) value = static_cast<float>(RoundToNearest(storage_, value));
  }
  Floats Stored(const Values& x) const {
    Floats out(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      out[i] = static_cast<float>(RoundToNearest(storage_, x[i]));
    }
    return out;
  }
  Floats StoredFloats(Floats x) const {
    Store(x);
    return x;
  }
  float Stored(float x) const { return static_cast<float>(RoundToNearest(storage_, x)); }
  Values Unscaled(const Floats& x) const {
    Values out(x.begin(), x.end());
    for (double& value : out) value /= emulation_.gradient_scale;
    return out;
  }
  const Floats& Weight(size_t layer, const std::string& name) const {
    return weights_.at(&problem_.weights[layer].at(name));
  }

  // Calls add(k) for k in [0, n) in the order of the emulation, and flush() where a part ends.
  template <typename Add, typename Flush>
  void InOrder(int64_t n, const Add& add, const Flush& flush) const {
    for (int64_t i = 0; i < n; ++i) {
      add(emulation_.sum_order == SumOrder::kBackward ? n - 1 - i : i);
      if (emulation_.sum_order == SumOrder::kBlocks && i % 32 == 31) flush();
    }
    flush();
  }
  template <typename Term>
  float Sum(int64_t n, const Term& term) const {
    float sum = 0, part = 0;
    InOrder(
        n, [&](int64_t k) { part += term(k); },
        [&] {
          sum += part;
          part = 0;
        });
    return sum;
  }

  Floats Operand(Floats x) const {
    if (emulation_.precision != Precision::kTf32) return x;
    for (float& value : x) {
      value = static_cast<float>(emulation_.operand_rounding == OperandRounding::kTruncated
                                     ? Truncate(kTf32Format, value)
                                     : RoundToNearest(kTf32Format, value));
    }
    return x;
  }

  // a [rows, inner] b [inner, columns], in float32.
  Floats MatMul(const reference::MatMulShape& shape, const Floats& a_read,
                const Floats& b_read) const {
    const auto [rows, inner, columns] = shape;
    const Floats a = Operand(a_read), b = Operand(b_read);
    Floats out(static_cast<size_t>(rows * columns));
    Floats part(static_cast<size_t>(columns));
    for (int64_t i = 0; i < rows; ++i) {
      float* to = &out[i * columns];
      InOrder(
          inner,
          [&](int64_t k) { AddScaled(columns, a[i * inner + k], &b[k * columns], part.data()); },
          [&] {
            AddScaled(columns, 1, part.data(), to);
            std::fill(part.begin(), part.end(), 0.0f);
          });
    }
    return out;
  }

  // a b with the inner dimension divided over the tensor-parallel ranks: each rank's part is
  // stored, and so is every sum of parts.  On one rank nothing is stored yet.
  Floats SumOverRanks(const reference::MatMulShape& shape, const Floats& a, const Floats& b) const {
    const auto [rows, inner, columns] = shape;
    const int64_t size = emulation_.tensor_parallel_size, share = inner / size;
    if (size == 1) return MatMul(shape, a, b);
    Floats sum(static_cast<size_t>(rows * columns));
    for (int64_t rank = 0; rank < size; ++rank) {
      Floats part_a;
      for (auto row = a.begin(); row != a.end(); row += inner) {
        part_a.insert(part_a.end(), row + rank * share, row + (rank + 1) * share);
      }
      const Floats part_b(&b[rank * share * columns], &b[rank * share * columns] + share * columns);
      const Floats part = StoredFloats(MatMul({rows, share, columns}, part_a, part_b));
      AddScaled(std::ssize(sum), 1, part.data(), sum.data());
      Store(sum);
    }
    return sum;
  }

  // Not yet stored: a residual or a ReLU may follow.
  Floats Linear(size_t layer, const std::string& name, const Floats& x) const {
    const Floats& weight = Weight(layer, name + ".weight");
    const Floats& bias = Weight(layer, name + ".bias");
    const auto out_features = static_cast<int64_t>(bias.size());
    const int64_t in_features = static_cast<int64_t>(weight.size()) / out_features;
    const reference::MatMulShape shape = {num_tokens_, in_features, out_features};
    const Floats transposed = Transposed(out_features, in_features, weight);
    Floats out =
        IsRowParallel(name) ? SumOverRanks(shape, x, transposed) : MatMul(shape, x, transposed);
    for (size_t i = 0; i < out.size(); ++i) out[i] += bias[i % bias.size()];
    return out;
  }

  // gradient += part, both rounded.
  void AddGradient(const Floats& part, Floats& gradient) const {
    for (size_t i = 0; i < part.size(); ++i) {
      const double sum = gradient[i] + RoundToNearest(gradient_, part[i]);
      gradient[i] = static_cast<float>(RoundToNearest(gradient_, sum));
    }
  }

  Floats LinearBackward(size_t layer, const std::string& name, const Floats& x, const Floats& dout,
                        reference::NamedValues& gradients) const {
    const int64_t out_features = static_cast<int64_t>(dout.size()) / num_tokens_;
    const int64_t in_features = static_cast<int64_t>(x.size()) / num_tokens_;
    Floats dweight(static_cast<size_t>(out_features * in_features));
    Floats dbias(static_cast<size_t>(out_features));
    for (int64_t part = 0; part < emulation_.num_gradient_writes; ++part) {
      const int64_t begin = part * num_tokens_ / emulation_.num_gradient_writes;
      const int64_t end = (part + 1) * num_tokens_ / emulation_.num_gradient_writes;
      const Floats part_dout(&dout[begin * out_features], &dout[end * out_features]);
      const Floats part_x(&x[begin * in_features], &x[end * in_features]);
      AddGradient(MatMul({out_features, end - begin, in_features},
                         Transposed(end - begin, out_features, part_dout), part_x),
                  dweight);
      Floats part_dbias(dbias.size());
      for (int64_t o = 0; o < out_features; ++o) {
        part_dbias[o] =
            Sum(end - begin, [&](int64_t m) { return part_dout[m * out_features + o]; });
      }
      AddGradient(part_dbias, dbias);
    }
    gradients[name + ".weight"] = Unscaled(dweight);
    gradients[name + ".bias"] = Unscaled(dbias);
    const reference::MatMulShape shape = {num_tokens_, out_features, in_features};
    const Floats& weight = Weight(layer, name + ".weight");
    return StoredFloats(IsRowParallel(name) ? MatMul(shape, dout, weight)
                                            : SumOverRanks(shape, dout, weight));
  }

  Floats LayerNorm(size_t layer, const std::string& name, const Floats& x, Floats& mean,
                   Floats& rstd) const {
    const Floats& weight = Weight(layer, name + ".weight");
    const Floats& bias = Weight(layer, name + ".bias");
    Floats out(x.size());
    const float per_feature = 1.0f / static_cast<float>(h_);
    for (int64_t m = 0; m < num_tokens_; ++m) {
      const float* row = &x[m * h_];
      mean.push_back(Sum(h_, [&](int64_t k) { return row[k]; }) * per_feature);
      const float variance =
          Sum(h_, [&](int64_t k) { return (row[k] - mean[m]) * (row[k] - mean[m]); }) * per_feature;
      rstd.push_back(1 / std::sqrt(variance + 1e-5f));
      for (int64_t k = 0; k < h_; ++k) {
        out[m * h_ + k] = (row[k] - mean[m]) * rstd[m] * weight[k] + bias[k];
      }
    }
    return StoredFloats(std::move(out));
  }

  struct Norm {
    const Floats &x, &mean, &rstd;
  };
  Floats LayerNormBackward(size_t layer, const std::string& name, const Norm& norm,
                           const Floats& dout, const Floats& around,
                           reference::NamedValues& gradients) const {
    const Floats& weight = Weight(layer, name + ".weight");
    const auto n = [&](int64_t m, int64_t k) {
      return (norm.x[m * h_ + k] - norm.mean[m]) * norm.rstd[m];
    };
    Floats dx(norm.x.size());
    const float per_feature = 1.0f / static_cast<float>(h_);
    for (int64_t m = 0; m < num_tokens_; ++m) {
      const auto g = [&](int64_t k) { return dout[m * h_ + k] * weight[k]; };
      const float mean_g = Sum(h_, g) * per_feature;
      const float mean_gn = Sum(h_, [&](int64_t k) { return g(k) * n(m, k); }) * per_feature;
      for (int64_t k = 0; k < h_; ++k) {
        dx[m * h_ + k] = around[m * h_ + k] + norm.rstd[m] * (g(k) - mean_g - n(m, k) * mean_gn);
      }
    }
    Floats dweight, dbias;
    for (int64_t k = 0; k < h_; ++k) {
      dweight.push_back(Sum(num_tokens_, [&](int64_t m) { return dout[m * h_ + k] * n(m, k); }));
      dbias.push_back(Sum(num_tokens_, [&](int64_t m) { return dout[m * h_ + k]; }));
    }
    gradients[name + ".weight"] = Unscaled(dweight);
    gradients[name + ".bias"] = Unscaled(dbias);
    return StoredFloats(std::move(dx));
  }

  // Where q (part 0), k or v of a position starts in qkv; a query's row of attention's output.
  int64_t At(int64_t position, int64_t b, int64_t n, int64_t part) const {
    const int64_t heads = problem_.config.num_heads;
    return (((position * problem_.batch_size + b) * heads + n) * 3 + part) *
           problem_.config.head_dim();
  }
  int64_t Row(int64_t i, int64_t b, int64_t n) const {
    return (i * problem_.batch_size + b) * problem_.config.num_heads + n;
  }
  float Dot(const float* a, const float* b) const {
    return Sum(problem_.config.head_dim(), [&](int64_t d) { return a[d] * b[d]; });
  }
  template <typename Visit>
  void ForEachQuery(const Visit& visit) const {
    for (int64_t i = 0; i < problem_.config.seq_len; ++i) {
      for (int64_t b = 0; b < problem_.batch_size; ++b) {
        for (int64_t n = 0; n < problem_.config.num_heads; ++n) visit(i, b, n);
      }
    }
  }

  // Online softmax over tiles of 64 keys.
  Floats Attention(const Floats& qkv, Floats& lse) const {
    const int64_t dim = problem_.config.head_dim();
    const float scale = 1 / std::sqrt(static_cast<float>(dim));
    Floats out(static_cast<size_t>(num_tokens_ * h_));
    lse.resize(out.size() / static_cast<size_t>(dim));
    ForEachQuery([&](int64_t i, int64_t b, int64_t n) {
      const int64_t num_keys = problem_.prefix_len + i + 1;
      const float* q = &qkv[At(num_keys - 1, b, n, 0)];
      float* to = &out[Row(i, b, n) * dim];
      float maximum = -std::numeric_limits<float>::infinity(), sum = 0;
      for (int64_t begin = 0; begin < num_keys; begin += 64) {
        const int64_t count = std::min<int64_t>(64, num_keys - begin);
        Floats scores;
        for (int64_t j = begin; j < begin + count; ++j) {
          scores.push_back(Dot(q, &qkv[At(j, b, n, 1)]) * scale);
        }
        const float new_maximum =
            std::max(maximum, *std::max_element(scores.begin(), scores.end()));
        const float rescale = std::exp(maximum - new_maximum);
        maximum = new_maximum;
        for (int64_t d = 0; d < dim; ++d) to[d] *= rescale;
        for (float& score : scores) score = std::exp(score - maximum);
        sum = sum * rescale + Sum(count, [&](int64_t j) { return scores[j]; });
        for (int64_t j = 0; j < count; ++j) {
          AddScaled(dim, Stored(scores[j]), &qkv[At(begin + j, b, n, 2)], to);
        }
      }
      for (int64_t d = 0; d < dim; ++d) to[d] /= sum;
      lse[Row(i, b, n)] = maximum + std::log(sum);
    });
    return StoredFloats(std::move(out));
  }

  Floats AttentionBackward(const Layer& a, const Floats& dout) const {
    const int64_t dim = problem_.config.head_dim();
    const float scale = 1 / std::sqrt(static_cast<float>(dim));
    Floats dqkv(a.qkv.size());
    ForEachQuery([&](int64_t i, int64_t b, int64_t n) {
      const int64_t position = problem_.prefix_len + i, row = Row(i, b, n);
      const float* q = &a.qkv[At(position, b, n, 0)];
      const float* row_dout = &dout[row * dim];
      const float delta = Dot(row_dout, &a.attention[row * dim]);
      for (int64_t j = 0; j <= position; ++j) {
        const float* k = &a.qkv[At(j, b, n, 1)];
        const float p = std::exp(Dot(q, k) * scale - a.lse[row]);
        const float ds = Stored(p * (Dot(row_dout, &a.qkv[At(j, b, n, 2)]) - delta));
        AddScaled(dim, ds, k, &dqkv[At(position, b, n, 0)]);
        AddScaled(dim, ds, q, &dqkv[At(j, b, n, 1)]);
        AddScaled(dim, Stored(p), row_dout, &dqkv[At(j, b, n, 2)]);
      }
    });
    for (size_t e = 0; e < dqkv.size(); ++e) {
      if (static_cast<int64_t>(e) / dim % 3 < 2) dqkv[e] *= scale;
    }
    dqkv.erase(dqkv.begin(), dqkv.begin() + At(problem_.prefix_len, 0, 0, 0));
    return StoredFloats(std::move(dqkv));
  }

  Floats Forward(size_t layer, Floats x) {
    Layer a;
    a.x = std::move(x);
    a.attn_ln = LayerNorm(layer, "attn_ln", a.x, a.mean, a.rstd);
    if (!problem_.prefix.empty()) a.qkv = Stored(problem_.prefix[layer]);
    const Floats qkv = StoredFloats(Linear(layer, "attn.in_proj", a.attn_ln));
    a.qkv.insert(a.qkv.end(), qkv.begin(), qkv.end());
    a.attention = Attention(a.qkv, a.lse);
    a.y = Linear(layer, "attn.out_proj", a.attention);
    AddScaled(static_cast<int64_t>(a.y.size()), 1, a.x.data(), a.y.data());
    Store(a.y);
    a.fc_ln = LayerNorm(layer, "fc_ln", a.y, a.fc_mean, a.fc_rstd);
    a.relu = Linear(layer, "fc1", a.fc_ln);
    for (float& value : a.relu) value = std::max(value, 0.0f);
    Store(a.relu);
    Floats z = Linear(layer, "fc2", a.relu);
    AddScaled(static_cast<int64_t>(z.size()), 1, a.y.data(), z.data());
    Store(z);
    layers_.push_back(std::move(a));
    return z;
  }

  Floats Backward(size_t layer, Floats dz, reference::NamedValues& gradients) const {
    const Layer& a = layers_[layer];
    Floats dfc1 = LinearBackward(layer, "fc2", a.relu, dz, gradients);
    for (size_t i = 0; i < dfc1.size(); ++i) {
      if (!(a.relu[i] > 0)) dfc1[i] = 0;
    }
    const Floats dfc_ln = LinearBackward(layer, "fc1", a.fc_ln, dfc1, gradients);
    const Floats dy =
        LayerNormBackward(layer, "fc_ln", {a.y, a.fc_mean, a.fc_rstd}, dfc_ln, dz, gradients);
    const Floats dattention = LinearBackward(layer, "attn.out_proj", a.attention, dy, gradients);
    const Floats dattn_ln = LinearBackward(layer, "attn.in_proj", a.attn_ln,
                                           AttentionBackward(a, dattention), gradients);
    return LayerNormBackward(layer, "attn_ln", {a.x, a.mean, a.rstd}, dattn_ln, dy, gradients);
  }

  const reference::Problem& problem_;
  const Emulation& emulation_;
  NumberFormat storage_, gradient_;
  int64_t h_, num_tokens_;
  std::map<const Values*, Floats> weights_;
  std::vector<Layer> layers_;
};

}  // namespace

reference::Step EmulateStep(const reference::Problem& problem, const Emulation& emulation) {
  return EmulatedStack(problem, emulation).Run();
}

}  // namespace sluice
