#include "correctness/tolerance/attention_errors.h"

#include <algorithm>
#include <cmath>

namespace sluice {
namespace {

using reference::AttentionShape;
using reference::Values;

double Dot(int64_t n, const double* a, const double* b) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// One head of one sequence.
class Head {
 public:
  Head(const AttentionOperands& operands, int64_t sequence, int64_t head)
      : operands_(operands), sequence_(sequence), head_(head) {
    const int64_t num_positions = operands.shape.prefix_len + operands.shape.slice_len;
    for (int64_t t = 0; t < num_positions; ++t) {
      for (int64_t part = 0; part < 3; ++part) {
        squares_[part].push_back(Dot(dim(), At(t, part), At(t, part)));
      }
    }
  }

  int64_t dim() const { return operands_.shape.head_dim; }
  // part 0: q, 1: k, 2: v.
  const double* At(int64_t position, int64_t part) const {
    const AttentionShape& shape = operands_.shape;
    return &operands_.qkv[static_cast<size_t>(
        (((position * shape.batch_size + sequence_) * shape.num_heads + head_) * 3 + part) *
        shape.head_dim)];
  }
  double Square(int64_t position, int64_t part) const { return squares_[part][position]; }
  double MeanSquare(int64_t position) const {
    return operands_.qkv_mean_square[position * operands_.shape.batch_size + sequence_];
  }

  struct Key {
    double p = 0;             // softmax
    double unscaled = 0;      // exp(score - largest)
    double score_square = 0;  // mean square of the score's error
  };

  // A score's error: those of q and k, the roundings of its sum and of the exponential, and of a
  // common relative error of q and k twice that of the score.
  void Row(int64_t position, const AttentionRounding& rounding, std::vector<Key>& keys) const {
    const double scale = 1 / std::sqrt(static_cast<double>(dim()));
    const double u = rounding.accumulation;
    const double* q = At(position, 0);
    double largest = -INFINITY, sum = 0;
    keys.resize(static_cast<size_t>(position) + 1);
    for (int64_t j = 0; j <= position; ++j) {
      keys[j].p = scale * Dot(dim(), q, At(j, 1));
      largest = std::max(largest, keys[j].p);
    }
    for (int64_t j = 0; j <= position; ++j) {
      Key& key = keys[j];
      const double score = key.p;
      const double norms = Square(position, 0) * Square(j, 1);
      const double drift = 2 * operands_.qkv_drift * score;
      key.score_square =
          scale * scale *
              (MeanSquare(position) * Square(j, 1) + MeanSquare(j) * Square(position, 0) +
               u * u * static_cast<double>(dim() + 2) / 2 * norms) +
          u * u * (score * score + (score - largest) * (score - largest) + 16) + drift * drift;
      key.unscaled = std::exp(score - largest);
      sum += key.unscaled;
    }
    for (Key& key : keys) key.p = key.unscaled / sum;
  }

 private:
  const AttentionOperands& operands_;
  int64_t sequence_, head_;
  std::vector<double> squares_[3];
};

// RoundingSquare relative to the square of x, which may underflow.
double RelativeSquare(const NumberFormat& format, double x) {
  if (x == 0) return 0;
  const double ratio = SpacingAt(format, x) / 2 / std::abs(x);
  return std::min(1.0, ratio * ratio);
}

double HiddenSize(const AttentionShape& shape) {
  return static_cast<double>(shape.num_heads * shape.head_dim);
}

template <typename Visit>
void ForEachHead(const AttentionShape& shape, const Visit& visit) {
  for (int64_t b = 0; b < shape.batch_size; ++b) {
    for (int64_t n = 0; n < shape.num_heads; ++n) visit(b, n);
  }
}

}  // namespace

// out = sum of p v.  An error e_j of score j moves it by p_j e_j (v_j - out), a rounding of p_j by
// p_j v_j, an error of v_j by p_j times that.  The error of q is in all scores of a row: besides
// what independent keys give, the covariance over keys of k and v answers to it, which for
// projections of the same H numbers by independent weights has a mean square of 1 / H.
std::vector<double> AttentionErrors(const AttentionOperands& operands, const Values& out,
                                    const AttentionRounding& rounding) {
  const AttentionShape& shape = operands.shape;
  std::vector<double> squares(static_cast<size_t>(shape.slice_len * shape.batch_size));
  const auto dim = static_cast<double>(shape.head_dim);
  std::vector<Head::Key> keys;
  ForEachHead(shape, [&](int64_t b, int64_t n) {
    const Head head(operands, b, n);
    for (int64_t i = 0; i < shape.slice_len; ++i) {
      const int64_t position = shape.prefix_len + i;
      const int64_t row = i * shape.batch_size + b;
      const double* o = &out[static_cast<size_t>((row * shape.num_heads + n) * shape.head_dim)];
      const double o_square = Dot(shape.head_dim, o, o);
      head.Row(position, rounding, keys);
      double square = 0, mean_k = 0, mean_v = 0, magnitudes = 0;
      for (int64_t j = 0; j <= position; ++j) {
        const Head::Key& key = keys[j];
        const double v_square = head.Square(j, 2);
        const double away =
            std::max(0.0, v_square - 2 * Dot(shape.head_dim, head.At(j, 2), o) + o_square);
        square += key.p * key.p *
                  (key.score_square * away +
                   RelativeSquare(rounding.intermediate, key.unscaled) * v_square +
                   head.MeanSquare(j) * dim);
        mean_k += key.p * head.Square(j, 1);
        mean_v += key.p * away;
        magnitudes += key.p * std::sqrt(v_square);
      }
      square += head.MeanSquare(position) * mean_k * mean_v / dim / HiddenSize(shape);
      const double u = rounding.accumulation;
      square += u * u * static_cast<double>(position + 8) / 2 * magnitudes * magnitudes;
      squares[row] += square;
    }
  });
  return squares;
}

namespace {

// What one query adds to the errors of the gradients of q, k and v.
//   ds = p (dp - delta), dp - delta = dout (v - out), dq = scale ds k, dk = scale ds q, dv = p dout
class BackwardRow {
 public:
  BackwardRow(const AttentionOperands& operands, const AttentionGradientOperands& gradients,
              const AttentionRounding& rounding, AttentionGradientErrors& errors)
      : operands_(operands), gradients_(gradients), rounding_(rounding), errors_(errors) {}

  void Add(const Head& head, int64_t b, int64_t n, int64_t i) {
    const AttentionShape& shape = operands_.shape;
    const int64_t position = shape.prefix_len + i;
    const int64_t row = i * shape.batch_size + b;
    const auto offset = static_cast<size_t>((row * shape.num_heads + n) * shape.head_dim);
    const double* dout = &gradients_.dout[offset];
    const double* out = &gradients_.out[offset];
    const double e_dout = gradients_.dout_mean_square[row];
    const double e_out = gradients_.out_mean_square[row];
    const auto dim = static_cast<double>(shape.head_dim);
    const double scale_square = 1 / dim, u = rounding_.accumulation;
    const double dout_square = Dot(shape.head_dim, dout, dout);
    const double out_square = Dot(shape.head_dim, out, out);
    const double delta = Dot(shape.head_dim, dout, out);
    head.Row(position, rounding_, keys_);
    mean_k_.assign(static_cast<size_t>(shape.head_dim), 0.0);
    double dq = 0, k_squares = 0, v_squares = 0;
    for (int64_t j = 0; j <= position; ++j) {
      const auto& [p, unscaled, score_square] = keys_[j];
      const double* k = head.At(j, 1);
      const double* v = head.At(j, 2);
      const double dp = Dot(shape.head_dim, dout, v);
      const double away =
          std::max(0.0, head.Square(j, 2) - 2 * Dot(shape.head_dim, v, out) + out_square);
      const double ds = p * (dp - delta);
      const double ds_rounding = RoundingSquare(rounding_.intermediate, ds);
      const double of_sums = u * u * (dim + 2) / 2 * dout_square * (head.Square(j, 2) + out_square);
      const double ds_square = p * p *
                                   (score_square * (dp - delta) * (dp - delta) + e_dout * away +
                                    head.MeanSquare(j) * dout_square + of_sums) +
                               ds_rounding;
      dq += ds_square * head.Square(j, 1) + ds * ds * dim * head.MeanSquare(j);
      const double dk = (ds_square + p * p * e_out * dout_square) * head.Square(position, 0) +
                        ds * ds * dim * head.MeanSquare(position);
      const double p_square = score_square + RelativeSquare(rounding_.intermediate, p) + 4 * u * u;
      AddTo(j, b, scale_square * dk + p * p * (dim * e_dout + p_square * dout_square));
      if (ds_rounding == ds * ds) {
        errors_.lost_squares +=
            scale_square * ds_rounding * (head.Square(j, 1) + head.Square(position, 0));
      }
      k_squares += p * head.Square(j, 1);
      v_squares += p * away;
      for (int64_t d = 0; d < shape.head_dim; ++d) mean_k_[d] += p * k[d];
    }
    // Common to all keys of the row: the error of dout (as that of q in the forward), and that of
    // out in delta.
    dq += e_dout * k_squares * v_squares / HiddenSize(shape) +
          e_out * dout_square * Dot(shape.head_dim, mean_k_.data(), mean_k_.data());
    AddTo(position, b, scale_square * dq);
    errors_.delta_squares += scale_square * e_out * dout_square * head.Square(position, 0);
  }

 private:
  void AddTo(int64_t position, int64_t b, double square) {
    const AttentionShape& shape = operands_.shape;
    if (position < shape.prefix_len) return;
    errors_.squares[(position - shape.prefix_len) * shape.batch_size + b] += square;
  }

  const AttentionOperands& operands_;
  const AttentionGradientOperands& gradients_;
  const AttentionRounding& rounding_;
  AttentionGradientErrors& errors_;
  std::vector<Head::Key> keys_;
  std::vector<double> mean_k_;
};

}  // namespace

AttentionGradientErrors AttentionBackwardErrors(const AttentionOperands& operands,
                                                const AttentionGradientOperands& gradients,
                                                const AttentionRounding& rounding) {
  const AttentionShape& shape = operands.shape;
  AttentionGradientErrors errors;
  errors.squares.resize(static_cast<size_t>(shape.slice_len * shape.batch_size));
  BackwardRow row(operands, gradients, rounding, errors);
  ForEachHead(shape, [&](int64_t b, int64_t n) {
    const Head head(operands, b, n);
    for (int64_t i = 0; i < shape.slice_len; ++i) row.Add(head, b, n, i);
  });
  return errors;
}

}  // namespace sluice
