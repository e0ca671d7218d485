// The flags that say what is computed, whoever computes it: the model, the batch, the loss, the
// numbers it starts from.  Programs of bench and correctness share them.
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
  // Of the linear layers' weight and bias gradients; absent: what `precision` has by default.
  std::optional<DType> grad_dtype;
};

// The flags after Main has parsed them; `default_precision` holds without --dtype.  A number of the
// model given by its own flag stands in place of the named model's.  Throws Error when the numbers
// do not make a model, or a dtype and a grad_dtype do not go together.
Workload WorkloadFromFlags(Precision default_precision);

// The same, where what was not given is that of `base`.
Workload WorkloadFromFlags(const Workload& base);

}  // namespace sluice
