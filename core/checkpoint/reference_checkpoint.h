// The reference checkpoint: one safetensors file that holds the inputs, weights, outputs and
// gradients of one step, for any scheme (and any other tool) to be checked against.
//
//   input                       [seq_len, batch_size, hidden_size]
//   projection                  [seq_len, batch_size, hidden_size]   with loss "projection" only
//   layers.{i}.{parameter}      as LayerParameters says (core/model/model_config.h)
//   output                      [seq_len, batch_size, hidden_size]
//   loss                        [1]
//   grad.layers.{i}.{parameter} as the parameter, last layer first
//   grad.input                  [seq_len, batch_size, hidden_size]
//
// This is the order in which save_reference writes the data: that in which a step makes it, so that
// a writer need not hold more than a layer.  It writes F64 when the run's dtype is f64 and F32
// otherwise, which holds every 16-bit value exactly.
//
// A checkpoint may come from any other program.  Its tensors may stand in any order and be F64,
// F32, BF16 or F16 each; what a narrow type rounds off the results is allowed for.  Metadata, all
// strings: num_layers, hidden_size, seq_len, num_heads, batch_size, loss ("mean" or "projection")
// and dtype (what the results were computed in) must be there; model, seed and commit may be
// missing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/checkpoint/safetensors_header.h"
#include "core/checkpoint/safetensors_reader.h"
#include "core/model/model_config.h"
#include "core/tensor/dtype.h"

namespace sluice {

// What determines the contents of a reference checkpoint.
struct ReferenceRun {
  ModelConfig model;
  int64_t batch_size = 1;
  std::string loss = "mean";     // or "projection"
  std::optional<uint64_t> seed;  // that weights, input and projection were drawn from, if any
  Precision dtype = Precision::kFloat64;
  std::string commit;  // of the code that made it; "" where the file does not say
};

// The element type of computation that holds a file's elements, if there is one.
std::optional<DType> ReferenceDType(SafetensorsDType dtype);

// What the file's metadata say of it.  A model's name that is not one of ours is "custom".  Throws
// Error listing what is missing or not valid.
ReferenceRun ReadReferenceRun(const SafetensorsReader& file);

// Returns all tensors, in order, and the metadata: what SafetensorsWriter asks for.
SafetensorsHeader ReferenceHeader(const ReferenceRun& run);

// Throws Error unless the file is a reference checkpoint of `expected`, listing the first five
// differences: a metadata value, a missing or unexpected tensor, a shape, an element type.  dtype
// and commit say how the file was made and may differ from `expected`.
void CheckReference(const SafetensorsReader& file, const ReferenceRun& expected);

}  // namespace sluice
