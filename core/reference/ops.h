// Every operation of the model in plain float64 loops: what the kernels are checked against.
//
// Written to be compared with the formulas by eye, and sharing no code with core/kernels.  All
// tensors are row-major std::vector<double>; results are returned, nothing is accumulated.  A
// tensor of the wrong size is our own bug (SLUICE_CHECK).
//
// Shapes: M tokens (slice_len x batch_size), H hidden_size, L = slice_len, P = prefix_len, B
// sequences, N heads, D = head_dim.
#pragma once

#include <cstdint>
#include <vector>

namespace sluice::reference {

using Values = std::vector<double>;

struct MatMulShape {
  int64_t rows = 0;     // of a and of the result
  int64_t inner = 0;    // summed over
  int64_t columns = 0;  // of b and of the result
};

// a [rows, inner] times b [inner, columns].  Sums run over inner in order, one rounding a step.
Values MatMul(const MatMulShape& shape, const Values& a, const Values& b);

struct LinearShape {
  int64_t num_tokens = 0;
  int64_t in_features = 0;
  int64_t out_features = 0;
};

// x [M, in] weight [out, in]^T + bias [out]
Values Linear(const LinearShape& shape, const Values& x, const Values& weight, const Values& bias);

struct LinearGradients {
  Values x;       // dout weight
  Values weight;  // dout^T x
  Values bias;    // sum of dout over tokens
};
LinearGradients LinearBackward(const LinearShape& shape, const Values& x, const Values& weight,
                               const Values& dout);

// max(x, 0); and dout where the output was positive, else 0.
Values Relu(const Values& x);
Values ReluBackward(const Values& relu_out, const Values& dout);

Values Add(const Values& a, const Values& b);

struct LayerNormShape {
  int64_t num_tokens = 0;
  int64_t hidden_size = 0;
};

struct LayerNormOutput {
  Values out;   // [M, H] (x - mean) * rstd * weight + bias
  Values mean;  // [M]
  Values rstd;  // [M] 1 / sqrt(variance + 1e-5), variance biased
};
LayerNormOutput LayerNorm(const LayerNormShape& shape, const Values& x, const Values& weight,
                          const Values& bias);

struct LayerNormGradients {
  Values x;       // [M, H]
  Values weight;  // [H]
  Values bias;    // [H]
};
LayerNormGradients LayerNormBackward(const LayerNormShape& shape, const Values& x,
                                     const Values& weight, const Values& dout);

struct AttentionShape {
  int64_t slice_len = 0;
  int64_t prefix_len = 0;
  int64_t batch_size = 0;
  int64_t num_heads = 0;
  int64_t head_dim = 0;
};

struct AttentionOutput {
  Values out;          // [L, B, N, D]
  Values log_sum_exp;  // [L, B, N], of the scaled scores
};

// Causal softmax(q k^T / sqrt(D)) v.  qkv is [P + L, B, N, 3, D]: q, k and v of all positions, of
// which the q of the first P are not read.  Query i of the slice, at position P + i, attends to
// positions 0 .. P + i.
AttentionOutput CausalAttention(const AttentionShape& shape, const Values& qkv);

// Gradient of qkv, [P + L, B, N, 3, D], from dout [L, B, N, D].  The q of the first P positions
// get 0; their k and v get what these L queries contribute.
Values CausalAttentionBackward(const AttentionShape& shape, const Values& qkv, const Values& dout);

// sum(z * r) / size of z; the mean of z where r is empty.  And its gradient with respect to a z of
// `size` elements.
double Loss(const Values& z, const Values& r);
Values LossBackward(int64_t size, const Values& r);

}  // namespace sluice::reference
