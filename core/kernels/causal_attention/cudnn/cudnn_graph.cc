#include "core/kernels/causal_attention/cudnn/cudnn_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/base/check.h"

namespace sluice::cuda {
namespace {

// All operands have it, because heads are multiples of 8 elements of 2 bytes.
constexpr int64_t kByteAlignment = 16;

constexpr int64_t kMaxConfigs = 16;

// What cuDNN's heuristics offer for a finalised graph, best first.
cudnnStatus_t FindConfigs(const CudnnDescriptor& graph, std::vector<CudnnDescriptor>* configs) {
  CudnnDescriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.Set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  heuristics.Set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, CUDNN_HEUR_MODE_A);
  const cudnnStatus_t status = Cudnn().finalize(heuristics.get());
  if (status != CUDNN_STATUS_SUCCESS) return status;
  std::vector<cudnnBackendDescriptor_t> handles;
  for (int64_t i = 0; i < kMaxConfigs; ++i) {
    configs->emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    handles.push_back(configs->back().get());
  }
  int64_t num_found = 0;
  SLUICE_CUDNN_CHECK(Cudnn().get_attribute(heuristics.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                           CUDNN_TYPE_BACKEND_DESCRIPTOR, kMaxConfigs, &num_found,
                                           handles.data()));
  configs->resize(static_cast<size_t>(std::min(num_found, kMaxConfigs)));
  return num_found > 0 ? status : CUDNN_STATUS_NOT_SUPPORTED;
}

}  // namespace

CudnnDescriptor::CudnnDescriptor(cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t descriptor = nullptr;
  SLUICE_CUDNN_CHECK(Cudnn().create_descriptor(type, &descriptor));
  descriptor_.reset(descriptor);
}

void CudnnDescriptor::Destroy::operator()(void* descriptor) const {
  SLUICE_CUDNN_CHECK(Cudnn().destroy_descriptor(descriptor));
}

CudnnTensorShape PackedTensor(CudnnDims dims, cudnnDataType_t dtype) {
  CudnnTensorShape shape = {.dims = dims, .strides = {}, .dtype = dtype};
  int64_t stride = 1;
  for (size_t i = dims.size(); i-- > 0; stride *= dims[i]) shape.strides[i] = stride;
  return shape;
}

CudnnTensorShape Transposed(CudnnTensorShape shape) {
  std::swap(shape.dims[2], shape.dims[3]);
  std::swap(shape.strides[2], shape.strides[3]);
  return shape;
}

void CudnnPlan::Execute(cudnnHandle_t handle, std::span<const CudnnOperand> operands,
                        void* workspace) const {
  std::vector<int64_t> ids;
  std::vector<void*> data;
  for (const CudnnOperand& operand : operands) {
    ids.push_back(operand.tensor.id);
    data.push_back(operand.data);
  }
  for (const Scalar& scalar : scalars_) {
    ids.push_back(scalar.id);
    data.push_back(const_cast<char*>(scalar.bytes.data()));  // read only
  }
  CudnnDescriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.Set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, std::span<const int64_t>(ids));
  pack.Set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
           std::span<void* const>(data));
  pack.Set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, workspace);
  pack.Finalize();
  SLUICE_CUDNN_CHECK(Cudnn().execute(handle, plan_.get(), pack.get()));
}

CudnnTensor CudnnGraph::Add(const CudnnTensorShape& shape, Storage storage) {
  const auto id = static_cast<int64_t>(tensors_.size()) + 1;
  CudnnDescriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensor.Set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, id);
  tensor.Set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, shape.dtype);
  tensor.Set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, std::span<const int64_t>(shape.dims));
  tensor.Set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, std::span<const int64_t>(shape.strides));
  tensor.Set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, kByteAlignment);
  tensor.Set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, storage == Storage::kVirtual);
  tensor.Set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, storage == Storage::kByValue);
  tensor.Finalize();
  tensors_.push_back(std::move(tensor));
  return {.id = id, .shape = shape};
}

CudnnTensor CudnnGraph::InMemory(const CudnnTensorShape& shape) {
  return Add(shape, Storage::kMemory);
}

CudnnTensor CudnnGraph::Virtual(const CudnnTensorShape& shape) {
  return Add(shape, Storage::kVirtual);
}

CudnnTensor CudnnGraph::AddScalar(cudnnDataType_t dtype, const void* value) {
  const CudnnTensor tensor = Add(PackedTensor({1, 1, 1, 1}, dtype), Storage::kByValue);
  CudnnPlan::Scalar scalar = {.id = tensor.id};
  std::memcpy(scalar.bytes.data(), value, scalar.bytes.size());
  scalars_.push_back(scalar);
  return tensor;
}

CudnnTensor CudnnGraph::Scalar(float value) { return AddScalar(CUDNN_DATA_FLOAT, &value); }
CudnnTensor CudnnGraph::Scalar(int32_t value) { return AddScalar(CUDNN_DATA_INT32, &value); }

void CudnnGraph::AddPointwise(const PointwiseOp& op, const PointwiseOperands& operands) {
  CudnnDescriptor pointwise(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  pointwise.Set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, op.mode);
  pointwise.Set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, op.compute_dtype);
  if (op.axis) pointwise.Set(CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, *op.axis);
  pointwise.Finalize();
  CudnnDescriptor operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  operation.Set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, pointwise);
  operation.Set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, Of(*operands.x));
  if (operands.b) operation.Set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, Of(*operands.b));
  if (operands.t) operation.Set(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, Of(*operands.t));
  operation.Set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, Of(*operands.y));
  operation.Finalize();
  operations_.push_back(std::move(operation));
}

void CudnnGraph::Pointwise(cudnnPointwiseMode_t mode, const CudnnTensor& x, const CudnnTensor* b,
                           const CudnnTensor& y) {
  AddPointwise({.mode = mode}, {.x = &x, .b = b, .y = &y});
}

CudnnTensor CudnnGraph::Pointwise(cudnnPointwiseMode_t mode, const CudnnTensor& x) {
  const CudnnTensor y = Virtual(PackedTensor(x.shape.dims, CUDNN_DATA_FLOAT));
  Pointwise(mode, x, nullptr, y);
  return y;
}

CudnnTensor CudnnGraph::Pointwise(cudnnPointwiseMode_t mode, const CudnnTensor& x,
                                  const CudnnTensor& b) {
  const CudnnTensor y = Virtual(PackedTensor(x.shape.dims, CUDNN_DATA_FLOAT));
  Pointwise(mode, x, &b, y);
  return y;
}

CudnnTensor CudnnGraph::Index(const CudnnTensor& x, int64_t axis) {
  const CudnnTensor y = Virtual(PackedTensor(x.shape.dims, CUDNN_DATA_INT32));
  AddPointwise({.mode = CUDNN_POINTWISE_GEN_INDEX, .axis = axis}, {.x = &x, .y = &y});
  return y;
}

CudnnTensor CudnnGraph::OfIndices(cudnnPointwiseMode_t mode, const CudnnTensor& x,
                                  const CudnnTensor& b) {
  const bool compares = mode >= CUDNN_POINTWISE_CMP_EQ && mode <= CUDNN_POINTWISE_CMP_LE;
  const cudnnDataType_t dtype = compares ? CUDNN_DATA_BOOLEAN : CUDNN_DATA_INT32;
  const CudnnTensor y = Virtual(PackedTensor(x.shape.dims, dtype));
  AddPointwise({.mode = mode, .compute_dtype = dtype}, {.x = &x, .b = &b, .y = &y});
  return y;
}

CudnnTensor CudnnGraph::Select(const CudnnTensor& condition, const CudnnTensor& x,
                               const CudnnTensor& otherwise) {
  const CudnnTensor y = Virtual(PackedTensor(x.shape.dims, CUDNN_DATA_FLOAT));
  AddPointwise({.mode = CUDNN_POINTWISE_BINARY_SELECT},
               {.x = &x, .b = &otherwise, .t = &condition, .y = &y});
  return y;
}

void CudnnGraph::Reduce(cudnnReduceTensorOp_t op, const CudnnTensor& x, const CudnnTensor& y) {
  CudnnDescriptor reduction(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
  reduction.Set(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, op);
  reduction.Set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  reduction.Finalize();
  CudnnDescriptor operation(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
  operation.Set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, reduction);
  operation.Set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, Of(x));
  operation.Set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, Of(y));
  operation.Finalize();
  operations_.push_back(std::move(operation));
}

CudnnTensor CudnnGraph::Reduce(cudnnReduceTensorOp_t op, const CudnnTensor& x) {
  CudnnDims dims = x.shape.dims;
  dims[3] = 1;
  const CudnnTensor y = Virtual(PackedTensor(dims, CUDNN_DATA_FLOAT));
  Reduce(op, x, y);
  return y;
}

void CudnnGraph::MatMul(const CudnnTensor& a, const CudnnTensor& b, const CudnnTensor& c) {
  CudnnDescriptor product(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
  product.Set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  product.Finalize();
  CudnnDescriptor operation(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
  operation.Set(CUDNN_ATTR_OPERATION_MATMUL_DESC, product);
  operation.Set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, Of(a));
  operation.Set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, Of(b));
  operation.Set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, Of(c));
  operation.Finalize();
  operations_.push_back(std::move(operation));
}

CudnnTensor CudnnGraph::Transpose(const CudnnTensor& x, cudnnDataType_t dtype) {
  CudnnTensorShape shape = Transposed(x.shape);
  shape.dtype = dtype;
  const CudnnTensor y = Virtual(shape);
  CudnnDescriptor operation(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
  operation.Set(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, Of(x));
  operation.Set(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, Of(y));
  operation.Finalize();
  operations_.push_back(std::move(operation));
  return y;
}

std::optional<CudnnPlan> CudnnGraph::MakePlan(cudnnHandle_t handle, int64_t max_workspace_bytes,
                                              std::string* error) {
  std::vector<cudnnBackendDescriptor_t> operations;
  for (const CudnnDescriptor& operation : operations_) operations.push_back(operation.get());
  CudnnDescriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.Set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
            std::span<const cudnnBackendDescriptor_t>(operations));
  graph.Set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, handle);
  cudnnStatus_t status = Cudnn().finalize(graph.get());
  if (status != CUDNN_STATUS_SUCCESS) {
    *error = CudnnErrorText(status);
    return std::nullopt;
  }
  std::vector<CudnnDescriptor> configs;
  status = FindConfigs(graph, &configs);
  *error = configs.empty() ? CudnnErrorText(status) : "";
  for (const CudnnDescriptor& config : configs) {
    CudnnPlan plan;
    plan.plan_ = CudnnDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    plan.plan_.Set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, handle);
    plan.plan_.Set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
    status = Cudnn().finalize(plan.plan_.get());
    if (status != CUDNN_STATUS_SUCCESS) {
      *error = CudnnErrorText(status);
      continue;
    }
    int64_t count = 0;
    SLUICE_CUDNN_CHECK(Cudnn().get_attribute(plan.plan_.get(),
                                             CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                             CUDNN_TYPE_INT64, 1, &count, &plan.workspace_bytes_));
    if (plan.workspace_bytes_ > max_workspace_bytes) {
      *error = fmt::format("it needs {} bytes of workspace", plan.workspace_bytes_);
      continue;
    }
    plan.scalars_ = scalars_;
    return plan;
  }
  return std::nullopt;
}

const CudnnDescriptor& CudnnGraph::Of(const CudnnTensor& tensor) const {
  return tensors_[static_cast<size_t>(tensor.id - 1)];
}

}  // namespace sluice::cuda
