#include "core/kernels/cuda/tensor_map.h"

#include <cudaTypedefs.h>
#include <cuda_runtime_api.h>

#include <array>

#include "core/base/check.h"
#include "core/device/cuda/cuda_check.h"

namespace sluice::cuda {
namespace {

constexpr size_t kMaxRank = 5;

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

CUtensorMap MakeTensorMap(const void* data, DType dtype,
                          const std::vector<TensorMapExtent>& extents) {
  static const PFN_cuTensorMapEncodeTiled_v12000 encode = FindEncode();
  SLUICE_CHECK(Is16Bit(dtype));
  SLUICE_CHECK(!extents.empty() && extents.size() <= kMaxRank);
  std::array<cuuint64_t, kMaxRank> sizes = {};
  std::array<cuuint64_t, kMaxRank> stride_bytes = {};  // from the second extent on
  std::array<cuuint32_t, kMaxRank> box = {};
  std::array<cuuint32_t, kMaxRank> element_strides = {};
  cuuint64_t num_bytes = 2;
  for (size_t i = 0; i < extents.size(); ++i) {
    sizes[i] = static_cast<cuuint64_t>(extents[i].size);
    num_bytes *= sizes[i];
    stride_bytes[i] = num_bytes;
    box[i] = static_cast<cuuint32_t>(extents[i].box_size);
    element_strides[i] = 1;
  }
  CUtensorMap map;
  SLUICE_CHECK_EQ(encode(&map,
                         dtype == DType::kFloat16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                                  : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                         static_cast<cuuint32_t>(extents.size()), const_cast<void*>(data),
                         sizes.data(), stride_bytes.data(), box.data(), element_strides.data(),
                         CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                         CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
                  CUDA_SUCCESS);
  return map;
}

}  // namespace sluice::cuda
