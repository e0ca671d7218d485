#include "correctness/tolerance/stack_errors.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "core/base/check.h"
#include "correctness/tolerance/attention_errors.h"
#include "correctness/tolerance/error_model.h"
#include "correctness/tolerance/number_format.h"

namespace sluice {
namespace {

using reference::AttentionShape;
using reference::LayerNormShape;
using reference::LinearShape;
using reference::NamedValues;
using reference::Values;
using Squares = std::vector<double>;  // of the norms of a tensor's rows

double Sum(std::span<const double> x) {
  double sum = 0;
  for (const double value : x) sum += value;
  return sum;
}

double SumOfSquares(std::span<const double> x) {
  double sum = 0;
  for (const double value : x) sum += value * value;
  return sum;
}

// A part of a whole; 0 of a tensor of zeros, which has no errors either.
double Share(double part, double whole) { return part == 0 ? 0 : part / whole; }

// Formats of a run, and what its matrix units do.
struct Formats {
  NumberFormat storage;
  NumberFormat operand;
  bool has_short_operands = false;  // tf32: operands are cut where they are read
  double accumulation = 0;
  double float32 = 0;  // unit roundoff of all else
};

Formats FormatsOf(Precision precision) {
  const double u = ArithmeticOf(precision).accumulation;
  switch (precision) {
    case Precision::kFloat64:
      return {kFloat64Format, kFloat64Format, false, u, u};
    case Precision::kFloat32:
      return {kFloat32Format, kFloat32Format, false, u, u};
    case Precision::kTf32:
      return {kFloat32Format, kTf32Format, true, u, u};
    case Precision::kBFloat16:
      return {kBFloat16Format, kBFloat16Format, false, u, u};
    case Precision::kFloat16:
      return {kFloat16Format, kFloat16Format, false, u, u};
  }
  SLUICE_CHECK(false);
  return {};
}

// A tensor [rows, row_size] of the reference and the errors of a run's.
struct Noisy {
  Values values;
  int64_t row_size = 0;
  Squares errors;     // mean square of the error's norm, by row
  double shared = 0;  // as in TensorErrors
  double drift = 0;

  // The error of the sum over rows has the mean square of all rows' errors together, if they are
  // independent, and this more if they are not.
  double excess_of_sum = 0;

  std::span<const double> Row(int64_t row) const {
    return std::span(values).subspan(static_cast<size_t>(row * row_size),
                                     static_cast<size_t>(row_size));
  }
  int64_t num_rows() const { return static_cast<int64_t>(errors.size()); }
  double norm_square() const { return SumOfSquares(values); }
  // Drift is known as a share of the norm only: where an error's size matters, it is spread evenly.
  double RowSquare(int64_t row) const {
    return errors[row] + drift * drift * SumOfSquares(Row(row));
  }
  Squares MeanSquares() const {
    Squares mean(errors.size());
    for (int64_t m = 0; m < num_rows(); ++m) mean[m] = RowSquare(m) / row_size;
    return mean;
  }
};

Noisy Exact(Values values, int64_t row_size) {
  Noisy x{.values = std::move(values), .row_size = row_size};
  x.errors.resize(x.values.size() / static_cast<size_t>(row_size));
  return x;
}

// Relative mean square of the error of a sum of num_terms terms of mixed sign: a partial sum of k
// of them has, in the mean square, k / num_terms of the result's, and each is rounded once.  In
// order, the worst order, these are num_terms / 2 in all.
double SumError(double unit_roundoff, int64_t num_terms) {
  return unit_roundoff * unit_roundoff * (static_cast<double>(num_terms) / 2 + 1);
}

// Rounds all of x where it is stored.
void Store(const NumberFormat& format, Noisy& x) {
  double lost = 0;
  for (int64_t m = 0; m < x.num_rows(); ++m) {
    const RoundingSquares squares = RoundingSquaresOf(format, x.Row(m));
    x.errors[m] += squares.all;
    lost += squares.lost;
  }
  x.shared += Share(lost, x.norm_square());
}

// a + b, where b is a branch: in the mean over its weights it is orthogonal to a, and so are the
// errors of the two.
Noisy Sum(const Noisy& a, const Noisy& b) {
  Noisy sum = Exact(reference::Add(a.values, b.values), a.row_size);
  const double a_square = a.norm_square(), b_square = b.norm_square();
  const double square = sum.norm_square();
  for (int64_t m = 0; m < sum.num_rows(); ++m) sum.errors[m] = a.errors[m] + b.errors[m];
  sum.shared = Share(a.shared * a_square + b.shared * b_square, square);
  sum.drift = std::sqrt(Share(a.drift * a.drift * a_square + b.drift * b.drift * b_square, square));
  sum.excess_of_sum = a.excess_of_sum + b.excess_of_sum;
  return sum;
}

// [row_size]
Values MeanRow(const Noisy& x) {
  Values mean(static_cast<size_t>(x.row_size));
  for (int64_t m = 0; m < x.num_rows(); ++m) {
    for (int64_t k = 0; k < x.row_size; ++k) mean[k] += x.Row(m)[k];
  }
  for (double& value : mean) value /= static_cast<double>(x.num_rows());
  return mean;
}

// A linear layer's weight and bias.
struct Weights {
  const Values& weight;
  const Values& bias;
};

// Columns [begin, begin + count) of x [rows, row_size].
Values Columns(const Values& x, int64_t row_size, int64_t begin, int64_t count) {
  Values columns;
  columns.reserve(x.size() / static_cast<size_t>(row_size) * static_cast<size_t>(count));
  for (auto row = x.begin(); row != x.end(); row += row_size) {
    columns.insert(columns.end(), row + begin, row + begin + count);
  }
  return columns;
}

}  // namespace

double StackErrors::RelativeL2(const std::string& name, std::span<const double> expected) const {
  const auto found = tensors_.find(name);
  SLUICE_CHECK(found != tensors_.end());
  const TensorErrors& tensor = found->second;
  const double norm_square = SumOfSquares(expected);
  const double t = std::log(2 / kFailureProbability);
  double trace = 0, trace_of_square = 0, largest = 0;
  const auto add = [&](double square, double num_groups) {
    trace += square;
    trace_of_square += square * square / num_groups;
    largest = std::max(largest, square / num_groups);
  };
  const auto num_groups = static_cast<double>(tensor.num_groups);
  for (const double square : tensor.squares) add(square, num_groups);
  add(tensor.shared * norm_square,
      std::max(num_groups, static_cast<double>(tensor.squares.size())));
  double drift = tensor.drift;
  if (tensor.num_short_writes > 0) {
    // Each write rounds what is there so far, at most all of it in the mean square; and a product
    // may be rounded on its own before it is added, which together is one more rounding of all.
    const double scale_square = rounding_.gradient_scale * rounding_.gradient_scale;
    std::vector<double> stored(expected.begin(), expected.end());
    for (double& value : stored) value *= rounding_.gradient_scale;
    const RoundingSquares squares = RoundingSquaresOf(FormatOf(*rounding_.grad_dtype), stored);
    add(squares.all * static_cast<double>(tensor.num_short_writes + 1) / scale_square,
        static_cast<double>(tensor.num_write_groups));
    if (squares.lost > 0) drift += std::sqrt(squares.lost / (scale_square * norm_square));
  }
  const double random = trace + 2 * std::sqrt(t * trace_of_square) + 2 * t * largest;
  return random == 0 ? drift : std::sqrt(random / norm_square) + drift;
}

// The walk through the layers.
class StackAnalysis {
 public:
  StackAnalysis(const reference::Problem& problem, const StackRounding& rounding)
      : problem_(problem),
        precision_(rounding.precision),
        formats_(FormatsOf(rounding.precision)),
        gradient_scale_(rounding.gradient_scale),
        num_short_writes_(rounding.grad_dtype ? rounding.num_gradient_writes : 0),
        tensor_size_(rounding.tensor_parallel_size),
        hidden_size_(problem.config.hidden_size),
        num_tokens_(problem.config.seq_len * problem.batch_size),
        attention_{.slice_len = problem.config.seq_len,
                   .prefix_len = problem.prefix_len,
                   .batch_size = problem.batch_size,
                   .num_heads = problem.config.num_heads,
                   .head_dim = problem.config.head_dim()} {
    result_.rounding_ = rounding;
  }

  StackErrors Run() {
    Noisy x = Exact(problem_.input, hidden_size_);
    Store(formats_.storage, x);
    for (size_t i = 0; i < problem_.weights.size(); ++i) x = Forward(i, std::move(x));
    Keep("output", x, 1);
    Noisy gradient = LossGradient(static_cast<int64_t>(x.values.size()));
    for (size_t i = problem_.weights.size(); i-- > 0;) gradient = Backward(i, gradient);
    Keep("grad.input", gradient, gradient_scale_);
    return std::move(result_);
  }

 private:
  struct Layer {
    Noisy x, attn_ln, qkv, attention, y, fc_ln, fc1, relu;
  };

  Noisy LossGradient(int64_t size) const;
  Noisy Forward(size_t index, Noisy x);
  Noisy Backward(size_t index, const Noisy& dz);

  Noisy LinearForward(const Noisy& x, const Weights& weights, int64_t out_features) const;
  Noisy LinearBackward(const Noisy& dout, const Values& weight, int64_t in_features) const;
  void LinearGradients(const std::string& name, const Noisy& x, const Noisy& dout);
  Noisy LayerNormForward(const Noisy& x, const Values& weight, const Values& bias) const;
  Noisy LayerNormBackward(const std::string& name, const Noisy& x, const Values& weight,
                          const Noisy& dout);
  Noisy Attention(const Noisy& qkv) const;
  Noisy AttentionBackward(const Noisy& qkv, const Noisy& out, const Noisy& dout) const;
  Noisy Relu(const Noisy& fc1) const;
  Noisy ReluBackward(int64_t layer, const Noisy& fc1, const Noisy& drelu);

  // A linear layer whose input features are divided over the tensor-parallel ranks.
  Noisy RowParallelForward(const Noisy& x, const Weights& weights, int64_t out_features) const;
  // Rounds dx = dout weight where it is stored.  The features of dout are divided over the ranks.
  void StoreInputGradient(const Noisy& dout, const Values& weight, Noisy& dx) const;
  // Adds to `sum` the roundings of a sum over ranks, to which each adds a part of the same shape.
  void AddRankSumErrors(const std::function<Values(int rank)>& part_of_rank, Noisy& sum) const;

  // Sum.  Branches of weights that are not independent may drift the same way in every layer.
  Noisy AddBranch(const Noisy& a, const Noisy& b) const;

  // Products of x and weight, whose rows are read in full: the errors of both and of the sums.
  void AddProductErrors(const Noisy& x, const Values& weight, Noisy& out) const;
  AttentionOperands OperandsOf(const Noisy& qkv, const Squares& mean_squares) const {
    return {attention_, qkv.values, mean_squares, qkv.drift};
  }
  // The relative norm by which a product of cut operands falls short: half a spacing of each.
  double ProductDrift() const {
    return formats_.has_short_operands ? std::ldexp(1.0, 1 - formats_.operand.significand_bits) : 0;
  }
  void Keep(const std::string& name, const Noisy& x, double scale) {
    TensorErrors& errors = result_.tensors_[name];
    for (const double square : x.errors) errors.squares.push_back(square / (scale * scale));
    errors.drift = x.drift;
  }
  // num_groups: features; every parameter gradient has at least hidden_size of them.  Tokens whose
  // parts of the sum agree make partial sums that grow evenly: k / n of the result, n / 3 in the
  // sum of squares.  Under the mean loss they may even be equal, and err alike.
  void KeepGradient(const std::string& name, double square, double shared, double drift) {
    const double u = formats_.float32;
    const auto n = static_cast<double>(num_tokens_);
    result_.tensors_["grad." + name] = {.squares = {square / (gradient_scale_ * gradient_scale_)},
                                        .num_groups = hidden_size_,
                                        .shared = shared + u * u * (n / 3 + 1),
                                        .drift = drift + (problem_.projection.empty() ? u * n : 0)};
  }

  const reference::Problem& problem_;
  Precision precision_;
  Formats formats_;
  double gradient_scale_;
  int64_t num_short_writes_;
  int tensor_size_;
  int64_t hidden_size_, num_tokens_;
  AttentionShape attention_;
  std::vector<Layer> layers_;
  StackErrors result_;
};

// The mean's gradient is one number, and its rounding the same everywhere.
Noisy StackAnalysis::LossGradient(int64_t size) const {
  Values dz = reference::LossBackward(size, problem_.projection);
  for (double& value : dz) value *= gradient_scale_;
  Noisy gradient = Exact(std::move(dz), hidden_size_);
  if (problem_.projection.empty()) {
    const double value = gradient.values.front();
    gradient.drift = std::abs(RoundToNearest(formats_.storage, value) - value) / std::abs(value);
  } else {
    Store(formats_.storage, gradient);
  }
  return gradient;
}

Noisy StackAnalysis::AddBranch(const Noisy& a, const Noisy& b) const {
  Noisy sum = Sum(a, b);
  if (result_.rounding_.gain == WeightGain::kOfValues) {
    const double drift =
        a.drift * std::sqrt(a.norm_square()) + b.drift * std::sqrt(b.norm_square());
    sum.drift = Share(drift, std::sqrt(sum.norm_square()));
  }
  return sum;
}

Noisy StackAnalysis::Forward(size_t index, Noisy x) {
  const NamedValues& weights = problem_.weights[index];
  const auto linear = [&](const std::string& name) {
    return Weights{weights.at(name + ".weight"), weights.at(name + ".bias")};
  };
  const auto stored = [&](Noisy tensor) {
    Store(formats_.storage, tensor);
    return tensor;
  };
  Layer a;
  a.x = std::move(x);
  a.attn_ln =
      stored(LayerNormForward(a.x, weights.at("attn_ln.weight"), weights.at("attn_ln.bias")));
  a.qkv = stored(LinearForward(a.attn_ln, linear("attn.in_proj"), 3 * hidden_size_));
  if (problem_.prefix_len > 0) {
    const Noisy prefix = stored(Exact(problem_.prefix[index], 3 * hidden_size_));
    a.qkv.values.insert(a.qkv.values.begin(), prefix.values.begin(), prefix.values.end());
    a.qkv.errors.insert(a.qkv.errors.begin(), prefix.errors.begin(), prefix.errors.end());
  }
  a.attention = stored(Attention(a.qkv));
  a.y = stored(
      AddBranch(a.x, RowParallelForward(a.attention, linear("attn.out_proj"), hidden_size_)));
  a.fc_ln = stored(LayerNormForward(a.y, weights.at("fc_ln.weight"), weights.at("fc_ln.bias")));
  a.fc1 = LinearForward(a.fc_ln, linear("fc1"), problem_.config.ffn_hidden_size());
  a.relu = stored(Relu(a.fc1));
  Noisy z = stored(AddBranch(a.y, RowParallelForward(a.relu, linear("fc2"), hidden_size_)));
  layers_.push_back(std::move(a));
  return z;
}

Noisy StackAnalysis::Backward(size_t index, const Noisy& dz) {
  const NamedValues& weights = problem_.weights[index];
  const auto name = [&](const char* parameter) {
    return ParameterName(static_cast<int64_t>(index), parameter);
  };
  // Under the mean loss tokens may have equal gradients, which are rounded alike.
  const bool is_alike = problem_.projection.empty();
  const auto rounded = [&](Noisy tensor, const auto& round) {
    const double before = Sum(tensor.errors);
    round(tensor);
    if (is_alike) tensor.shared += Share(Sum(tensor.errors) - before, tensor.norm_square());
    return tensor;
  };
  const auto stored = [&](Noisy tensor) {
    return rounded(std::move(tensor), [&](Noisy& t) { Store(formats_.storage, t); });
  };
  const auto input_gradient = [&](const Noisy& dout, const char* linear) {
    const Values& weight = weights.at(linear);
    return rounded(LinearBackward(dout, weight, hidden_size_),
                   [&](Noisy& dx) { StoreInputGradient(dout, weight, dx); });
  };
  const Layer a = std::move(layers_[index]);
  LinearGradients(name("fc2"), a.relu, dz);
  const Noisy drelu = LinearBackward(dz, weights.at("fc2.weight"), 4 * hidden_size_);
  const Noisy dfc1 = stored(ReluBackward(static_cast<int64_t>(index), a.fc1, drelu));
  LinearGradients(name("fc1"), a.fc_ln, dfc1);
  const Noisy dfc_ln = input_gradient(dfc1, "fc1.weight");
  const Noisy dy = stored(
      AddBranch(dz, LayerNormBackward(name("fc_ln"), a.y, weights.at("fc_ln.weight"), dfc_ln)));
  LinearGradients(name("attn.out_proj"), a.attention, dy);
  const Noisy dattention =
      stored(LinearBackward(dy, weights.at("attn.out_proj.weight"), hidden_size_));
  const Noisy dqkv = stored(AttentionBackward(a.qkv, a.attention, dattention));
  LinearGradients(name("attn.in_proj"), a.attn_ln, dqkv);
  const Noisy dattn_ln = input_gradient(dqkv, "attn.in_proj.weight");
  return stored(AddBranch(
      dy, LayerNormBackward(name("attn_ln"), a.x, weights.at("attn_ln.weight"), dattn_ln)));
}

// Of the gain: see WeightGain.
void StackAnalysis::AddProductErrors(const Noisy& x, const Values& weight, Noisy& out) const {
  const double mean_gain = SumOfSquares(weight) / static_cast<double>(x.row_size);
  double weight_errors = RoundingSquaresOf(formats_.storage, weight).all;
  if (formats_.has_short_operands) {
    weight_errors += RoundingSquaresOf(formats_.operand, weight).all;
  }
  const double weight_gain = weight_errors / static_cast<double>(x.row_size);
  const double sums = SumError(formats_.accumulation, x.row_size);
  double of_weights = 0, of_shared = 0, largest_gain = mean_gain;
  for (int64_t m = 0; m < out.num_rows(); ++m) {
    const double x_square = SumOfSquares(x.Row(m));
    double operand = 0, gain = mean_gain;
    if (formats_.has_short_operands) {
      operand = RoundingSquaresOf(formats_.operand, x.Row(m)).all;
    }
    if (result_.rounding_.gain == WeightGain::kOfValues) {
      gain = std::max(gain, Share(SumOfSquares(out.Row(m)), x_square));
    }
    out.errors[m] += gain * (x.errors[m] + operand + sums * x_square) + weight_gain * x_square;
    of_weights += weight_gain * x_square;
    of_shared += x.shared * gain * x_square;
    largest_gain = std::max(largest_gain, gain);
  }
  out.shared += Share(of_shared + of_weights, out.norm_square());
  out.drift += x.drift + ProductDrift();
  out.excess_of_sum += largest_gain * x.excess_of_sum;
}

Noisy StackAnalysis::LinearForward(const Noisy& x, const Weights& weights,
                                   int64_t out_features) const {
  const LinearShape shape = {x.num_rows(), x.row_size, out_features};
  const Values no_bias(weights.bias.size());
  Noisy out = Exact(Linear(shape, x.values, weights.weight, no_bias), out_features);
  AddProductErrors(x, weights.weight, out);
  const double product_square = out.norm_square();
  out.values = Linear(shape, x.values, weights.weight, weights.bias);
  const double bias = RoundingSquaresOf(formats_.storage, weights.bias).all;
  for (double& error : out.errors) error += bias;
  out.shared = Share(out.shared * product_square + bias * static_cast<double>(out.num_rows()),
                     out.norm_square());
  return out;
}

Noisy StackAnalysis::LinearBackward(const Noisy& dout, const Values& weight,
                                    int64_t in_features) const {
  Noisy dx =
      Exact(reference::MatMul({dout.num_rows(), dout.row_size, in_features}, dout.values, weight),
            in_features);
  AddProductErrors(dout, weight, dx);
  return dx;
}

Noisy StackAnalysis::RowParallelForward(const Noisy& x, const Weights& weights,
                                        int64_t out_features) const {
  Noisy out = LinearForward(x, weights, out_features);
  if (tensor_size_ == 1) return out;
  const int64_t share = x.row_size / tensor_size_;
  AddRankSumErrors(
      [&](int rank) {
        const Values part = Columns(x.values, x.row_size, rank * share, share);
        const Values columns = Columns(weights.weight, x.row_size, rank * share, share);
        return reference::Linear({x.num_rows(), share, out_features}, part, columns,
                                 Values(static_cast<size_t>(out_features)));
      },
      out);
  return out;
}

void StackAnalysis::StoreInputGradient(const Noisy& dout, const Values& weight, Noisy& dx) const {
  if (tensor_size_ == 1) return Store(formats_.storage, dx);
  const int64_t share = dout.row_size / tensor_size_;
  AddRankSumErrors(
      [&](int rank) {
        const Values part = Columns(dout.values, dout.row_size, rank * share, share);
        const auto rows = weight.begin() + rank * share * dx.row_size;
        return reference::MatMul({dx.num_rows(), share, dx.row_size}, part,
                                 {rows, rows + share * dx.row_size});
      },
      dx);
}

// The order of the sum is the communicator's own, so each sum of k of the n parts is taken in the
// mean over all choices of k: its mean square is k (n - k) / (n (n - 1)) of the parts' squares and
// k (k - 1) / (n (n - 1)) of the whole sum's.  It is rounded like the parts, relative to its size.
void StackAnalysis::AddRankSumErrors(const std::function<Values(int rank)>& part_of_rank,
                                     Noisy& sum) const {
  Values total(sum.values.size());
  Squares part_squares(sum.errors.size()), roundings(sum.errors.size());
  double lost = 0;
  for (int rank = 0; rank < tensor_size_; ++rank) {
    const Noisy part = Exact(part_of_rank(rank), sum.row_size);
    for (int64_t m = 0; m < sum.num_rows(); ++m) {
      const RoundingSquares squares = RoundingSquaresOf(formats_.storage, part.Row(m));
      part_squares[m] += SumOfSquares(part.Row(m));
      roundings[m] += squares.all;
      lost += squares.lost;
    }
    total = reference::Add(total, part.values);
  }
  const Noisy whole = Exact(std::move(total), sum.row_size);
  const double n = tensor_size_;
  for (int64_t m = 0; m < sum.num_rows(); ++m) {
    if (part_squares[m] == 0) continue;
    const double relative = roundings[m] / part_squares[m];
    sum.errors[m] += roundings[m];
    for (double k = 2; k <= n; ++k) {
      const double square =
          k * ((n - k) * part_squares[m] + (k - 1) * SumOfSquares(whole.Row(m))) / (n * (n - 1));
      sum.errors[m] += relative * square;
    }
  }
  sum.shared += Share(lost, sum.norm_square());
}

// dweight = dout^T x, dbias = the sum of dout.
void StackAnalysis::LinearGradients(const std::string& name, const Noisy& x, const Noisy& dout) {
  const double sums = SumError(formats_.accumulation, num_tokens_);
  const double drift = ProductDrift();
  double weight_square = dout.excess_of_sum * SumOfSquares(MeanRow(x));
  double bias_square = dout.excess_of_sum;
  for (int64_t m = 0; m < num_tokens_; ++m) {
    double x_error = x.RowSquare(m), dout_error = dout.RowSquare(m);
    bias_square += dout_error;
    if (formats_.has_short_operands) {
      x_error += RoundingSquaresOf(formats_.operand, x.Row(m)).all;
      dout_error += RoundingSquaresOf(formats_.operand, dout.Row(m)).all;
    }
    const double x_square = SumOfSquares(x.Row(m)), dout_square = SumOfSquares(dout.Row(m));
    weight_square += dout_error * x_square + dout_square * x_error +
                     (sums + drift * drift) * dout_square * x_square;
    bias_square += sums * dout_square;
  }
  KeepGradient(name + ".weight", weight_square, dout.shared + x.shared,
               dout.drift + x.drift + drift);
  KeepGradient(name + ".bias", bias_square, dout.shared, dout.drift);
  for (const char* parameter : {".weight", ".bias"}) {
    TensorErrors& errors = result_.tensors_["grad." + name + parameter];
    errors.num_short_writes = num_short_writes_;
    // Under the mean loss features may have equal gradients, which are rounded alike.
    errors.num_write_groups = problem_.projection.empty() ? 1 : hidden_size_;
  }
}

// n = (x - mean) rstd keeps what of an error is orthogonal to 1 and n, at most all of it.
Noisy StackAnalysis::LayerNormForward(const Noisy& x, const Values& weight,
                                      const Values& bias) const {
  const LayerNormShape shape = {x.num_rows(), x.row_size};
  const reference::LayerNormOutput forward = LayerNorm(shape, x.values, weight, bias);
  Noisy out = Exact(forward.out, x.row_size);
  const auto size = static_cast<double>(x.row_size);
  const double u = formats_.float32, weight_square = SumOfSquares(weight) / size;
  for (int64_t m = 0; m < x.num_rows(); ++m) {
    const double scale = forward.rstd[m] * forward.rstd[m] * weight_square;
    out.errors[m] = scale * x.errors[m] + SumError(u, x.row_size) * weight_square +
                    2 * u * u * SumOfSquares(out.Row(m));
  }
  out.shared = x.shared;
  out.drift = x.drift;
  return out;
}

// With g = dout weight: dx = rstd (g - mean(g) - n mean(g n)).  An error of n, and so of rstd and
// of the means, answers with a 1 / H of its size.
Noisy StackAnalysis::LayerNormBackward(const std::string& name, const Noisy& x,
                                       const Values& weight, const Noisy& dout) {
  const LayerNormShape shape = {x.num_rows(), x.row_size};
  const Values zeros(weight.size());
  const reference::LayerNormOutput forward = LayerNorm(shape, x.values, weight, zeros);
  const auto size = static_cast<double>(x.row_size);
  Noisy dx =
      Exact(reference::LayerNormBackward(shape, x.values, weight, dout.values).x, x.row_size);
  const double u = formats_.float32, weight_square = SumOfSquares(weight) / size;
  const double over_hidden = SumError(u, x.row_size) + 3 * u * u;
  const double over_tokens = SumError(u, num_tokens_) + u * u;
  double dweight_square = 0, dbias_square = dout.excess_of_sum, mean_square_rstd = 0;
  Values mean_n(weight.size());
  for (int64_t m = 0; m < x.num_rows(); ++m) {
    const double rstd = forward.rstd[m];
    const double n_error = rstd * rstd * x.RowSquare(m);
    const double dout_square = SumOfSquares(dout.Row(m));
    double g_square = 0, gn = 0, n_square = 0;
    for (int64_t h = 0; h < x.row_size; ++h) {
      const double n = (x.Row(m)[h] - forward.mean[m]) * rstd;
      const double g = dout.Row(m)[h] * weight[h];
      g_square += g * g;
      gn += g * n;
      n_square += n * n;
      mean_n[h] += n / static_cast<double>(num_tokens_);
    }
    const double of_n = n_error * (gn * gn + g_square * n_square / size) / (size * size) +
                        n_error / size * SumOfSquares(dx.Row(m)) / (rstd * rstd * size);
    dx.errors[m] = rstd * rstd * (weight_square * dout.errors[m] + of_n + over_hidden * g_square);
    dweight_square += dout.RowSquare(m) * n_square / size + dout_square * n_error / size +
                      over_tokens * dout_square;
    dbias_square += dout.RowSquare(m) + over_tokens * dout_square;
    mean_square_rstd += rstd * rstd / static_cast<double>(num_tokens_);
  }
  dweight_square += dout.excess_of_sum * SumOfSquares(mean_n) / size;
  dx.excess_of_sum = dout.excess_of_sum * weight_square * mean_square_rstd;
  dx.shared = dout.shared + x.shared / size;
  dx.drift = dout.drift + x.drift;
  KeepGradient(name + ".weight", dweight_square, dout.shared + x.shared, dout.drift + x.drift);
  KeepGradient(name + ".bias", dbias_square, dout.shared, dout.drift);
  return dx;
}

Noisy StackAnalysis::Attention(const Noisy& qkv) const {
  const Squares mean_squares = qkv.MeanSquares();
  Noisy out = Exact(CausalAttention(attention_, qkv.values).out, hidden_size_);
  out.errors = AttentionErrors(OperandsOf(qkv, mean_squares), out.values,
                               {formats_.storage, formats_.accumulation});
  out.shared = qkv.shared;
  out.drift = qkv.drift;
  return out;
}

Noisy StackAnalysis::AttentionBackward(const Noisy& qkv, const Noisy& out,
                                       const Noisy& dout) const {
  const Squares qkv_squares = qkv.MeanSquares(), out_squares = out.MeanSquares();
  const Squares dout_squares = dout.MeanSquares();
  const Values gradient = CausalAttentionBackward(attention_, qkv.values, dout.values);
  const auto prefix_size =
      static_cast<std::ptrdiff_t>(problem_.prefix_len * problem_.batch_size * 3 * hidden_size_);
  Noisy dqkv = Exact({gradient.begin() + prefix_size, gradient.end()}, 3 * hidden_size_);
  const AttentionGradientErrors errors = AttentionBackwardErrors(
      OperandsOf(qkv, qkv_squares), {out.values, out_squares, dout.values, dout_squares},
      {formats_.storage, formats_.accumulation});
  const double sums =
      SumError(formats_.accumulation, 2 * (problem_.prefix_len + attention_.slice_len));
  for (int64_t m = 0; m < dqkv.num_rows(); ++m) {
    dqkv.errors[m] = errors.squares[m] + sums * SumOfSquares(dqkv.Row(m));
  }
  // Probabilities of a row add up to 1: its error of dout comes back whole in the sum over tokens
  // of dv, and its error of delta in that of dk.
  dqkv.excess_of_sum = Sum(dout.errors) + dout.excess_of_sum + errors.delta_squares;
  dqkv.shared = dout.shared + qkv.shared + Share(errors.lost_squares, dqkv.norm_square());
  dqkv.drift = dout.drift + 3 * qkv.drift;
  return dqkv;
}

// An input a > 0 passes its error e; a < 0 lets through what of e reaches above 0, whose mean
// square is at most e^2 times the probability of that.
Noisy StackAnalysis::Relu(const Noisy& fc1) const {
  Noisy out = Exact(reference::Relu(fc1.values), fc1.row_size);
  for (int64_t m = 0; m < fc1.num_rows(); ++m) {
    const double error = fc1.errors[m] / static_cast<double>(fc1.row_size);
    const double deviation = std::sqrt(fc1.RowSquare(m) / static_cast<double>(fc1.row_size));
    double share = 0;
    for (const double a : fc1.Row(m)) {
      if (a > 0) share += 1;
      if (a <= 0 && -a < 6 * deviation) share += std::erfc(-a / deviation / std::sqrt(2.0)) / 2;
    }
    out.errors[m] = error * share;
  }
  out.shared = fc1.shared;
  out.drift = fc1.drift;
  return out;
}

// What flips do to the gradient of a ReLU's input.
Noisy StackAnalysis::ReluBackward(int64_t layer, const Noisy& fc1, const Noisy& drelu) {
  Noisy dfc1 =
      Exact(reference::ReluBackward(reference::Relu(fc1.values), drelu.values), fc1.row_size);
  dfc1.shared = drelu.shared;
  dfc1.drift = drelu.drift;
  const auto size = static_cast<double>(fc1.row_size);
  const double num_units = size * static_cast<double>(num_tokens_ * problem_.config.num_layers);
  // Beyond this many deviations none of the stack's units flips.
  const double reach = std::sqrt(2 * std::log(num_units / kFailureProbability));
  const double t = std::log(static_cast<double>(problem_.config.num_layers) / kFailureProbability);
  Squares likely(fc1.errors.size()), possible(fc1.errors.size());
  double sum_of_fourths = 0, largest = 0;
  for (int64_t m = 0; m < fc1.num_rows(); ++m) {
    const double deviation = std::sqrt(fc1.RowSquare(m) / size);
    const double drelu_error = drelu.errors[m] / size;
    int64_t num_positive = 0;
    for (int64_t f = 0; f < fc1.row_size; ++f) {
      const double a = fc1.Row(m)[f];
      if (a > 0) ++num_positive;
      if (!(std::abs(a) < reach * deviation)) continue;
      const double probability = std::erfc(std::abs(a) / deviation / std::sqrt(2.0)) / 2;
      const double square = drelu.Row(m)[f] * drelu.Row(m)[f] + drelu_error;
      likely[m] += probability * square;
      possible[m] += square;
      sum_of_fourths += probability * square * square;
      largest = std::max(largest, square);
      result_.expected_flips_ += probability;
      ++result_.num_possible_flips_;
      if (precision_ != Precision::kFloat32) continue;
      const double change = drelu.Row(m)[f] / gradient_scale_;
      result_.possible_flips_.push_back({{layer, m * fc1.row_size + f}, a > 0 ? -change : change});
    }
    dfc1.errors[m] = drelu_error * static_cast<double>(num_positive);
    dfc1.excess_of_sum += drelu.excess_of_sum * static_cast<double>(num_positive) / size /
                          static_cast<double>(num_tokens_);
  }
  if (result_.rounding_.flips == ReluFlips::kExcluded) return dfc1;
  const double expected = Sum(likely);
  // Bernstein's inequality; and no more than all that may flip do.
  const double bound = expected + std::sqrt(2 * t * sum_of_fourths) + largest * t / 3;
  const bool is_small = Sum(possible) <= bound;
  for (int64_t m = 0; m < fc1.num_rows(); ++m) {
    dfc1.errors[m] += is_small ? possible[m] : likely[m] * (bound / expected);
  }
  // An error that the tokens share shifts a unit's threshold for all of them: with density phi(0)
  // of inputs at 0, the gradient changes by 2 phi(0) times the relative error.
  const double density = 2 / std::sqrt(2 * M_PI);
  dfc1.shared += density * density * fc1.shared;
  return dfc1;
}

// Linear layers forward and backward; of attention, for each pair of positions that see each other,
// about twelve products over head_dim, the reference's own among them.
double StackAnalysisFlops(const ModelConfig& config, int64_t batch_size) {
  const auto t = static_cast<double>(config.seq_len), h = static_cast<double>(config.hidden_size);
  return static_cast<double>(config.num_layers * batch_size) *
         (48 * t * h * h + 12 * 2 * h * t * t / 2);
}

// Weights, and 16 numbers kept of each element of the residual stream and layer.
int64_t StackAnalysisBytes(const ModelConfig& config, int64_t batch_size) {
  return static_cast<int64_t>(sizeof(double)) *
         (NumParameters(config) +
          16 * (config.num_layers + 2) * config.seq_len * batch_size * config.hidden_size);
}

StackErrors AnalyzeStack(const reference::Problem& problem, const StackRounding& rounding) {
  return StackAnalysis(problem, rounding).Run();
}

}  // namespace sluice
