// The residual connection on its own, for layer plans that reduce a partial product between ranks
// before it is added.
#pragma once

#include "core/tensor/tensor.h"

namespace sluice {

// out = x + bias + residual
//
//   x         [M, H]  read; may be out
//   bias      [H]     read
//   residual  [M, H]  read; may be out
//   out       [M, H]  overwritten
struct AddBiasResidualArgs {
  Tensor x;
  Tensor bias;
  Tensor residual;
  Tensor out;
};

}  // namespace sluice
