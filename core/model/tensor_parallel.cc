#include "core/model/tensor_parallel.h"

#include "core/base/check.h"

namespace sluice {

Tensor TensorParallel::OwnRows(const Tensor& full) const {
  if (!splits_sequence()) return full;
  SLUICE_CHECK_EQ(full.num_rows() % shard().count, 0);
  const int64_t num_own = full.num_rows() / shard().count;
  return full.Rows(shard().index * num_own, num_own);
}

}  // namespace sluice
