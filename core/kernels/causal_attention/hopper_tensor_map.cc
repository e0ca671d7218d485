#include "core/kernels/causal_attention/hopper_tensor_map.h"

#include <cudaTypedefs.h>
#include <cuda_runtime_api.h>

#include "core/base/check.h"
#include "core/device/cuda/cuda_check.h"

namespace sluice::cuda {
namespace {

// The driver's function, found at run time so that nothing links against the driver.
PFN_cuTensorMapEncodeTiled_v12000 FindEncode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  SLUICE_CUDA_CHECK(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                                     cudaEnableDefault, &found));
  SLUICE_CHECK_EQ(found, cudaDriverEntryPointSuccess);
  return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function);
}

}  // namespace

CUtensorMap MakeTensorMap(const AttentionTensor& tensor) {
  static const PFN_cuTensorMapEncodeTiled_v12000 encode = FindEncode();
  const auto extent = [](int n) { return static_cast<cuuint64_t>(n); };
  const cuuint64_t row_bytes = extent(tensor.head_dim) * 2;
  const cuuint64_t extents[] = {extent(tensor.head_dim), extent(tensor.num_roles),
                                extent(tensor.num_pairs), extent(tensor.num_rows)};
  const cuuint64_t stride_bytes[] = {row_bytes, row_bytes * extents[1],
                                     row_bytes * extents[1] * extents[2]};
  const cuuint32_t box[] = {kBoxColumns, 1, 1, kBoxRows};
  const cuuint32_t element_strides[] = {1, 1, 1, 1};
  CUtensorMap map;
  SLUICE_CHECK_EQ(encode(&map,
                         tensor.dtype == DType::kFloat16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                                         : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                         4, const_cast<void*>(tensor.data), extents, stride_bytes, box,
                         element_strides, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                         CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
                  CUDA_SUCCESS);
  return map;
}

}  // namespace sluice::cuda
