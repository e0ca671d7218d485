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
// This is the order of the data: that in which a step makes it, so that a writer need not hold more
// than a layer.  All tensors are F64 when the run's dtype is f64 and F32 otherwise, which holds
// every 16-bit value exactly.  Metadata, all strings: model, num_layers, hidden_size, seq_len,
// num_heads, batch_size, loss, seed, dtype, commit.
#pragma once

#include <cstdint>
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
  std::string loss = "mean";  // or "projection"
  uint64_t seed = 0;
  Precision dtype = Precision::kFloat64;
  std::string commit;  // of the code that made it
};

// Returns all tensors, in order, and the metadata: what SafetensorsWriter asks for.
SafetensorsHeader ReferenceHeader(const ReferenceRun& run);

// Throws Error unless the file is a reference checkpoint of `expected`, listing the first five
// differences: a metadata value, a missing or unexpected tensor, a shape, an element type.  dtype
// and commit say how the file was made and may differ from `expected`; the element types must be
// those of the dtype that the file names.
void CheckReference(const SafetensorsReader& file, const ReferenceRun& expected);

}  // namespace sluice
