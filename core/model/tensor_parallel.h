// How the ranks of a tensor-parallel group meet inside a layer.
//
// Each rank holds its heads' rows of in_proj, its rows of fc1, and the matching columns of out_proj
// and fc2 (model_config.h: ShardAxis).  Two things then cross ranks: the products of out_proj and
// fc2, and in the backward of in_proj and fc1, are partial sums; and where the plan splits the
// sequence between layers, the inputs of matmuls must be gathered.  parallel/plan implements this
// on a Communicator; core has the plan of a group of one.
//
// "Own rows": with the sequence split, rank i of t holds rows i L/t .. (i+1) L/t - 1 of a slice of
// L positions between matmuls; else all of them.
#pragma once

#include "core/model/initial_values.h"
#include "core/tensor/tensor.h"

namespace sluice {

class TensorParallel {
 public:
  virtual ~TensorParallel() = default;

  virtual ShardIndex shard() const = 0;

  // Whether activations between matmuls hold only the rank's own rows.
  virtual bool splits_sequence() const = 0;

  // full [L, ...]: own rows are read, all others overwritten with their owners' rows.  Nothing to
  // do where the sequence is not split.
  virtual void GatherRows(const Tensor& full) = 0;

  // partial [L, ...]: own rows are overwritten with the sum over ranks; the others are undefined
  // afterwards.
  virtual void SumPartials(const Tensor& partial) = 0;

  // The own rows of a tensor with all rows of a slice.  Their number must divide by the group's
  // size if it is split.
  Tensor OwnRows(const Tensor& full) const;
};

// A group of one: nothing is split, nothing is moved.
class NoTensorParallel : public TensorParallel {
 public:
  ShardIndex shard() const override { return {.index = 0, .count = 1}; }
  bool splits_sequence() const override { return false; }
  void GatherRows(const Tensor&) override {}
  void SumPartials(const Tensor&) override {}
};

}  // namespace sluice
