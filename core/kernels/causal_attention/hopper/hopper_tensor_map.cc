#include "core/kernels/causal_attention/hopper/hopper_tensor_map.h"

#include "core/kernels/cuda/tensor_map.h"

namespace sluice::cuda {

CUtensorMap MakeTensorMap(const AttentionTensor& tensor) {
  return MakeTensorMap(tensor.data, tensor.dtype,
                       {{tensor.head_dim, kBoxColumns},
                        {tensor.num_roles, 1},
                        {tensor.num_pairs, 1},
                        {tensor.num_rows, kBoxRows}});
}

}  // namespace sluice::cuda
