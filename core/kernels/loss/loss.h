// The two losses over the stack's output z: `mean`, scale * sum(z), and `projection`, scale * sum(z
// * r) with a fixed random r.  With scale = 1 / (elements of the whole output) they are the model's
// losses, and slices and micro-batches add up to them.
#pragma once

#include "core/kernels/write_mode.h"
#include "core/tensor/tensor.h"

namespace sluice {

// loss (+)= scale * sum(z * r); r = 1 everywhere where absent.
//
//   z     [M, H]  read
//   r     [M, H]  read, in the accumulator type; absent: the mean loss
//   loss  [1]     overwritten or accumulated, by write_mode, in the accumulator type
//
// The order of the sum is fixed.
struct LossForwardArgs {
  Tensor z;
  Tensor r;
  double scale = 1;
  Tensor loss;
  WriteMode write_mode = WriteMode::kOverwrite;
};

// dz = scale * r
//
//   r   [M, H]  read; absent: dz is scale everywhere
//   dz  [M, H]  overwritten
struct LossBackwardArgs {
  Tensor r;
  double scale = 1;
  Tensor dz;
};

}  // namespace sluice
