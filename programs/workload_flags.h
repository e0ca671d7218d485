// The flags that say what is computed: the model, the batch, the loss, the initial values and the
// precision. Programs of bench and correctness share them.
//
//   --model --num_layers --hidden_size --seq_len --num_heads --batch_size --loss --seed --dtype
//   --grad_dtype
#pragma once

#include <cstdint>
#include <optional>

#include "core/model/loss_kind.h"
#include "core/model/model_config.h"
#include "core/tensor/dtype.h"

namespace sluice {

struct Workload {
  ModelConfig model;
  int64_t batch_size = 1;
  LossKind loss = LossKind::kMean;
  uint64_t seed = 0;
  Precision precision = Precision::kFloat32;
  // The type of the linear layers' weight and bias gradients; absent: the default of `precision`.
  std::optional<DType> grad_dtype;
};

// The flags after Main has parsed them; without --dtype the precision is `default_precision`. A
// size that has a flag of its own replaces that of the named model. Throws Error where the sizes do
// not form a model, or grad_dtype is not allowed with dtype.
Workload WorkloadFromFlags(Precision default_precision);

// The same with the values of `base` where a flag was not given.
Workload WorkloadFromFlags(const Workload& base);

}  // namespace sluice
