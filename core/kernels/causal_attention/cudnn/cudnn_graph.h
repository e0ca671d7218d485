// A graph of tensor operations for cuDNN, and the plan that cuDNN makes of it: one or a few fused
// kernels that can be enqueued.
//
//   CudnnGraph graph;
//   const CudnnTensor a = graph.InMemory({.dims = {1, 1, m, k}, ...});
//   const CudnnTensor c = graph.InMemory({.dims = {1, 1, m, n}, ...});
//   graph.MatMul(a, b, c);
//   std::optional<CudnnPlan> plan = graph.MakePlan(handle, workspace_bytes, &error);
//   plan->Execute(handle, {{a, a_data}, {b, b_data}, {c, c_data}}, workspace);
//
// All tensors have 4 dimensions; dimensions of size 1 are broadcast.  Arithmetic is float32.  What
// cuDNN fuses is its own decision: a graph that it does not know has no plan.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/kernels/causal_attention/cudnn/cudnn_library.h"

namespace sluice::cuda {

// A descriptor of cuDNN's backend, destroyed with this.
class CudnnDescriptor {
 public:
  CudnnDescriptor() = default;
  explicit CudnnDescriptor(cudnnBackendDescriptorType_t type);

  cudnnBackendDescriptor_t get() const { return descriptor_.get(); }

  template <typename T>
  void Set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
           std::span<const T> values) {
    SLUICE_CUDNN_CHECK(Cudnn().set_attribute(get(), name, type, static_cast<int64_t>(values.size()),
                                             values.data()));
  }
  template <typename T>
  void Set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const T& value) {
    Set(name, type, std::span<const T>(&value, 1));
  }
  void Set(cudnnBackendAttributeName_t name, const CudnnDescriptor& value) {
    Set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, value.get());
  }
  void Finalize() { SLUICE_CUDNN_CHECK(Cudnn().finalize(get())); }

 private:
  struct Destroy {
    void operator()(void* descriptor) const;
  };
  std::unique_ptr<void, Destroy> descriptor_;
};

using CudnnDims = std::array<int64_t, 4>;

struct CudnnTensorShape {
  CudnnDims dims;
  CudnnDims strides;  // in elements
  cudnnDataType_t dtype;
};

// Dimensions in row-major order.
CudnnTensorShape PackedTensor(CudnnDims dims, cudnnDataType_t dtype);

// With the last two dimensions exchanged.
CudnnTensorShape Transposed(CudnnTensorShape shape);

// A tensor of one graph.
struct CudnnTensor {
  int64_t id = 0;
  CudnnTensorShape shape;
};

// An operand for one execution; `data` is on the device.
struct CudnnOperand {
  CudnnTensor tensor;
  void* data = nullptr;
};

// What enqueues a graph.  Its kernels' code lives as long as it does: a CUDA graph that captured an
// execution must go first.
class CudnnPlan {
 public:
  int64_t workspace_bytes() const { return workspace_bytes_; }

  // Enqueues on the stream of `handle`.  `workspace` holds workspace_bytes().
  void Execute(cudnnHandle_t handle, std::span<const CudnnOperand> operands, void* workspace) const;

 private:
  friend class CudnnGraph;
  // A value that is part of the graph, in the bits of its type.
  struct Scalar {
    int64_t id = 0;
    std::array<char, 4> bytes = {};
  };

  CudnnDescriptor plan_;
  std::vector<Scalar> scalars_;
  int64_t workspace_bytes_ = 0;
};

class CudnnGraph {
 public:
  // A tensor that Execute is given, and one that is only handed from operation to operation.
  CudnnTensor InMemory(const CudnnTensorShape& shape);
  CudnnTensor Virtual(const CudnnTensorShape& shape);

  CudnnTensor Scalar(float value);
  CudnnTensor Scalar(int32_t value);

  // y[i] = mode(x[i], b[i]), with `b` absent where the mode takes one operand.  The forms without y
  // make it: float32 in the shape of `x`.
  void Pointwise(cudnnPointwiseMode_t mode, const CudnnTensor& x, const CudnnTensor* b,
                 const CudnnTensor& y);
  CudnnTensor Pointwise(cudnnPointwiseMode_t mode, const CudnnTensor& x);
  CudnnTensor Pointwise(cudnnPointwiseMode_t mode, const CudnnTensor& x, const CudnnTensor& b);

  // The index along `axis` of each element of x, int32.
  CudnnTensor Index(const CudnnTensor& x, int64_t axis);

  // mode(x, b) of int32 tensors in the shape of x: int32, or boolean where the mode compares.
  CudnnTensor OfIndices(cudnnPointwiseMode_t mode, const CudnnTensor& x, const CudnnTensor& b);

  // condition ? x : otherwise.
  CudnnTensor Select(const CudnnTensor& condition, const CudnnTensor& x,
                     const CudnnTensor& otherwise);

  // Over the last dimension, to size 1.
  void Reduce(cudnnReduceTensorOp_t op, const CudnnTensor& x, const CudnnTensor& y);
  CudnnTensor Reduce(cudnnReduceTensorOp_t op, const CudnnTensor& x);

  // c = a b, of the matrices in the last two dimensions.
  void MatMul(const CudnnTensor& a, const CudnnTensor& b, const CudnnTensor& c);

  // x with its last two dimensions exchanged, in type `dtype`.
  CudnnTensor Transpose(const CudnnTensor& x, cudnnDataType_t dtype);

  // The first plan that cuDNN's heuristics offer, that cuDNN can make and that needs no larger
  // workspace; nothing, with the reason in `error`, where there is none.  May compile kernels:
  // takes up to seconds.
  std::optional<CudnnPlan> MakePlan(cudnnHandle_t handle, int64_t max_workspace_bytes,
                                    std::string* error);

 private:
  enum class Storage : uint8_t { kMemory, kVirtual, kByValue };
  CudnnTensor Add(const CudnnTensorShape& shape, Storage storage);
  CudnnTensor AddScalar(cudnnDataType_t dtype, const void* value);
  struct PointwiseOp {
    cudnnPointwiseMode_t mode;
    cudnnDataType_t compute_dtype = CUDNN_DATA_FLOAT;
    std::optional<int64_t> axis;
  };
  struct PointwiseOperands {
    const CudnnTensor* x = nullptr;
    const CudnnTensor* b = nullptr;
    const CudnnTensor* t = nullptr;
    const CudnnTensor* y = nullptr;
  };
  void AddPointwise(const PointwiseOp& op, const PointwiseOperands& operands);
  const CudnnDescriptor& Of(const CudnnTensor& tensor) const;

  std::vector<CudnnDescriptor> tensors_;  // by id - 1
  std::vector<CudnnDescriptor> operations_;
  std::vector<CudnnPlan::Scalar> scalars_;
};

}  // namespace sluice::cuda
