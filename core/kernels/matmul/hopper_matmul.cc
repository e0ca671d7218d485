#include "core/kernels/matmul/hopper_matmul.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "core/base/check.h"
#include "core/kernels/cuda/element_types.h"
#include "core/kernels/cuda/launch.h"
#include "core/kernels/cuda/vector_access.h"
#include "core/kernels/matmul/hopper_matmul_tiles.h"

namespace sluice::cuda {
namespace {

constexpr int64_t kElementsOfAlignment = 8;

}  // namespace

int NumHopperMatmulVariants() { return std::tuple_size_v<HopperMatmulTiles>; }

bool SupportsHopperMatmul(const HopperMatmulArgs& args) {
  // Where a tile begins is counted in int.
  constexpr int64_t kMaxSize = std::numeric_limits<int>::max() / 2;
  return ComputeCapability() == 90 && Is16Bit(args.dtype) &&
         args.num_columns % kElementsOfAlignment == 0 &&
         args.num_summed % kElementsOfAlignment == 0 &&
         AreVectorAligned(args.a, args.b, args.bias, args.added, args.d) &&
         std::max({args.num_rows, args.num_columns, args.num_summed}) <= kMaxSize;
}

void RunHopperMatmul(int variant, const HopperMatmulArgs& args, cudaStream_t stream) {
  SLUICE_CHECK(SupportsHopperMatmul(args));
  SLUICE_CHECK(variant >= 0 && variant < NumHopperMatmulVariants());
  Dispatch16Bit(args.dtype, [&](auto element) {
    LaunchHopperMatmul<typename decltype(element)::type>(variant, args, stream);
  });
}

}  // namespace sluice::cuda
