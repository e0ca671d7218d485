// The sum or maximum of many buffers, in their order: what AllReduce and ReduceScatter compute on
// the CPU.
#pragma once

#include <span>

#include "parallel/comm/communicator.h"

namespace sluice {

// Throws Error on a type that the CPU cannot reduce (bf16, fp16, byte).
void CheckReducible(ElementType type);

// Sets every output to inputs[0] op inputs[1] op ..., element by element, left to right, in the
// type itself.  A maximum with a NaN is NaN.
//
//   inputs   [num_inputs][count]   read
//   outputs  [num_outputs][count]  overwritten; each may be one of the inputs
void ReduceInOrder(std::span<const void* const> inputs, int64_t count, ElementType type,
                   ReduceOp op, std::span<void* const> outputs);

}  // namespace sluice
