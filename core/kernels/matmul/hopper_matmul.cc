#include "core/kernels/matmul/hopper_matmul.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <limits>
#include <tuple>

#include "core/base/check.h"
#include "core/kernels/cuda/launch.h"
#include "core/kernels/matmul/hopper_matmul_tiles.h"

namespace sluice::cuda {
namespace {

constexpr uintptr_t kAlignmentBytes = 16;
constexpr int64_t kElementsOfAlignment = 8;

bool IsAligned(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer) % kAlignmentBytes == 0;
}

}  // namespace

int NumHopperMatmulVariants() { return std::tuple_size_v<HopperMatmulTiles>; }

bool SupportsHopperMatmul(const HopperMatmulArgs& args) {
  // Where a tile begins is counted in int.
  constexpr int64_t kMaxSize = std::numeric_limits<int>::max() / 2;
  return ComputeCapability() == 90 &&
         (args.dtype == DType::kBFloat16 || args.dtype == DType::kFloat16) &&
         args.num_columns % kElementsOfAlignment == 0 &&
         args.num_summed % kElementsOfAlignment == 0 && IsAligned(args.a) && IsAligned(args.b) &&
         IsAligned(args.bias) && IsAligned(args.added) && IsAligned(args.d) &&
         std::max({args.num_rows, args.num_columns, args.num_summed}) <= kMaxSize;
}

void RunHopperMatmul(int variant, const HopperMatmulArgs& args, cudaStream_t stream) {
  SLUICE_CHECK(SupportsHopperMatmul(args));
  SLUICE_CHECK(variant >= 0 && variant < NumHopperMatmulVariants());
  if (args.dtype == DType::kFloat16) {
    LaunchHopperMatmul<__half>(variant, args, stream);
  } else {
    LaunchHopperMatmul<__nv_bfloat16>(variant, args, stream);
  }
}

}  // namespace sluice::cuda
