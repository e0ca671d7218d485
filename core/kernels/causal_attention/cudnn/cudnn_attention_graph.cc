#include "core/kernels/causal_attention/cudnn/cudnn_attention_graph.h"

#include <cmath>
#include <limits>
#include <utility>

namespace sluice::cuda {
namespace {

// The part of one role of a tensor [length, num_pairs, num_roles, head_dim].
CudnnTensorShape RoleOf(const AttentionShape& shape, int64_t length, int64_t num_roles,
                        cudnnDataType_t dtype) {
  const int64_t row = num_roles * shape.head_dim;
  return {.dims = {1, shape.num_pairs, length, shape.head_dim},
          .strides = {length * shape.num_pairs * row, row, shape.num_pairs * row, 1},
          .dtype = dtype};
}

CudnnTensorShape StatisticsOf(const AttentionShape& shape) {
  return PackedTensor({1, shape.num_pairs, shape.slice_len, 1}, CUDNN_DATA_FLOAT);
}

CudnnTensorShape ScoresOf(const AttentionShape& shape) {
  return PackedTensor({1, shape.num_pairs, shape.slice_len, shape.num_keys}, CUDNN_DATA_FLOAT);
}

// head_dim^-0.5 q k^T.
CudnnTensor ScaledScores(CudnnGraph& graph, const AttentionShape& shape, const CudnnTensor& q,
                         const CudnnTensor& k_transposed, const CudnnTensor& scale) {
  const CudnnTensor scores = graph.Virtual(ScoresOf(shape));
  graph.MatMul(q, k_transposed, scores);
  return graph.Pointwise(CUDNN_POINTWISE_MUL, scores, scale);
}

// Minus infinity where a query does not see the key.  The prefix is added to the query's index as
// num_keys - slice_len, the form that cuDNN knows.
CudnnTensor Masked(CudnnGraph& graph, const AttentionShape& shape, const CudnnTensor& scores) {
  CudnnTensor query = graph.Index(scores, 2);
  const CudnnTensor key = graph.Index(scores, 3);
  if (shape.prefix_len > 0) {
    query = graph.OfIndices(CUDNN_POINTWISE_ADD, query, graph.Scalar(int32_t{shape.num_keys}));
    query = graph.OfIndices(CUDNN_POINTWISE_SUB, query, graph.Scalar(int32_t{shape.slice_len}));
  }
  const CudnnTensor is_visible = graph.OfIndices(CUDNN_POINTWISE_CMP_GE, query, key);
  return graph.Select(is_visible, scores, graph.Scalar(-std::numeric_limits<float>::infinity()));
}

CudnnTensor Scale(CudnnGraph& graph, const AttentionShape& shape) {
  return graph.Scalar(1 / std::sqrt(static_cast<float>(shape.head_dim)));
}

}  // namespace

std::optional<CudnnForwardGraph> MakeCudnnForward(const AttentionShape& shape,
                                                  cudnnDataType_t dtype, cudnnHandle_t handle,
                                                  std::string* error) {
  CudnnGraph graph;
  CudnnForwardGraph forward;
  forward.q = graph.InMemory(RoleOf(shape, shape.slice_len, 3, dtype));
  forward.k = graph.InMemory(Transposed(RoleOf(shape, shape.num_keys, 3, dtype)));
  forward.v = graph.InMemory(RoleOf(shape, shape.num_keys, 3, dtype));
  forward.out = graph.InMemory(RoleOf(shape, shape.slice_len, 1, dtype));
  forward.lse = graph.InMemory(StatisticsOf(shape));

  const CudnnTensor scores =
      Masked(graph, shape, ScaledScores(graph, shape, forward.q, forward.k, Scale(graph, shape)));
  const CudnnTensor maximum = graph.Reduce(CUDNN_REDUCE_TENSOR_MAX, scores);
  const CudnnTensor exponentials =
      graph.Pointwise(CUDNN_POINTWISE_EXP, graph.Pointwise(CUDNN_POINTWISE_SUB, scores, maximum));
  const CudnnTensor sum = graph.Reduce(CUDNN_REDUCE_TENSOR_ADD, exponentials);
  const CudnnTensor log_sum = graph.Pointwise(CUDNN_POINTWISE_LOG, sum);
  graph.Pointwise(CUDNN_POINTWISE_ADD, maximum, &log_sum, forward.lse);
  CudnnTensorShape probabilities_shape = ScoresOf(shape);
  probabilities_shape.dtype = dtype;
  const CudnnTensor probabilities = graph.Virtual(probabilities_shape);
  graph.Pointwise(CUDNN_POINTWISE_DIV, exponentials, &sum, probabilities);
  graph.MatMul(probabilities, forward.v, forward.out);

  std::optional<CudnnPlan> plan = graph.MakePlan(handle, kCudnnPlanWorkspaceBytes, error);
  if (!plan) return std::nullopt;
  forward.plan = std::move(*plan);
  return forward;
}

std::optional<CudnnBackwardGraph> MakeCudnnBackward(const AttentionShape& shape,
                                                    cudnnDataType_t dtype,
                                                    CudnnKeyGradients key_gradients,
                                                    cudnnHandle_t handle, std::string* error) {
  CudnnGraph graph;
  CudnnBackwardGraph backward;
  const CudnnTensorShape keys = RoleOf(shape, shape.num_keys, 3, dtype);
  const CudnnTensorShape gradients =
      key_gradients == CudnnKeyGradients::kInDqkv ? keys : RoleOf(shape, shape.num_keys, 2, dtype);
  backward.q = graph.InMemory(RoleOf(shape, shape.slice_len, 3, dtype));
  backward.k = graph.InMemory(Transposed(keys));
  backward.v = graph.InMemory(Transposed(keys));
  backward.out = graph.InMemory(RoleOf(shape, shape.slice_len, 1, dtype));
  backward.dout = graph.InMemory(RoleOf(shape, shape.slice_len, 1, dtype));
  backward.lse = graph.InMemory(StatisticsOf(shape));
  backward.delta = graph.InMemory(StatisticsOf(shape));
  backward.dq_sum = graph.InMemory(
      PackedTensor({1, shape.num_pairs, shape.slice_len, shape.head_dim}, CUDNN_DATA_FLOAT));
  backward.dq = graph.InMemory(RoleOf(shape, shape.slice_len, 3, dtype));
  backward.dk = graph.InMemory(gradients);
  backward.dv = graph.InMemory(gradients);

  // delta: row sums of dout * out, times 1 in the place of a dropout's scale.
  const CudnnTensor products = graph.Pointwise(CUDNN_POINTWISE_MUL, backward.dout, backward.out);
  const CudnnTensor one = graph.Scalar(1.0f);
  graph.Pointwise(CUDNN_POINTWISE_MUL, graph.Reduce(CUDNN_REDUCE_TENSOR_ADD, products), &one,
                  backward.delta);

  const CudnnTensor scale = Scale(graph, shape);
  const CudnnTensor scores = ScaledScores(graph, shape, backward.q, backward.k, scale);
  const CudnnTensor probabilities = graph.Pointwise(
      CUDNN_POINTWISE_EXP,
      Masked(graph, shape, graph.Pointwise(CUDNN_POINTWISE_SUB, scores, backward.lse)));
  graph.MatMul(graph.Transpose(probabilities, dtype), backward.dout, backward.dv);

  const CudnnTensor dprobabilities = graph.Virtual(ScoresOf(shape));
  graph.MatMul(backward.dout, backward.v, dprobabilities);
  const CudnnTensor difference =
      graph.Pointwise(CUDNN_POINTWISE_SUB, dprobabilities, backward.delta);
  const CudnnTensor dscores = graph.Pointwise(
      CUDNN_POINTWISE_MUL, graph.Pointwise(CUDNN_POINTWISE_MUL, difference, probabilities), scale);
  graph.MatMul(graph.Transpose(dscores, dtype), backward.q, backward.dk);
  graph.MatMul(dscores, graph.Transpose(backward.k, dtype), backward.dq_sum);
  graph.Pointwise(CUDNN_POINTWISE_IDENTITY, backward.dq_sum, nullptr, backward.dq);

  std::optional<CudnnPlan> plan = graph.MakePlan(handle, kCudnnPlanWorkspaceBytes, error);
  if (!plan) return std::nullopt;
  backward.plan = std::move(*plan);
  return backward;
}

}  // namespace sluice::cuda
