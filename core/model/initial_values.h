// The values that a run starts from: parameters, input, cached prefix and the projection of the
// loss.
//
// Every element is a pure function of (seed, tensor name, index of the element in the whole,
// unsharded, row-major tensor), so every rank makes just the part that it holds, and all schemes
// and world sizes start from the same numbers.  Threads divide the work by calling with parts of
// their own.
//
//   parameter   stream "layers.{i}.{parameter}", u uniform in [-1, 1):
//               linear layers u / sqrt(fan_in), layer-norm weights 1 + 0.1 u, biases 0.1 u
//   input       stream "input", standard normal
//   projection  stream "projection", standard normal
//   prefix      stream "layers.{i}.prefix", standard normal
//
// Values are computed in float64; T is double or float, which gets them rounded once.
#pragma once

#include <cstdint>
#include <span>

#include "core/model/model_config.h"

namespace sluice {

// A rectangle of a parameter seen as [rows, columns].  A vector has one column.
struct Block {
  int64_t row_begin = 0;
  int64_t num_rows = 0;
  int64_t column_begin = 0;
  int64_t num_columns = 0;

  int64_t num_elements() const { return num_rows * num_columns; }
  bool operator==(const Block&) const = default;
};

// The whole parameter.
Block WholeBlock(const ParameterSpec& parameter);

// Which of how many equal shards.
struct ShardIndex {
  int64_t index = 0;
  int64_t count = 1;
};

// The part of the parameter that one rank of a tensor-parallel group holds: rows or columns by its
// shard_axis, all of it where that is kReplicated.  The shards must come out equal (SLUICE_CHECK):
// validate heads and features before.
Block ShardBlock(const ParameterSpec& parameter, ShardIndex shard);

// Names the parameter tensor: layer `layer` of the whole stack.
struct ParameterKey {
  uint64_t seed = 0;
  int64_t layer = 0;
};

// Writes the block of the parameter to out, row-major, its rows packed; out has
// block.num_elements() elements.
template <typename T>
void FillParameter(const ParameterKey& key, const ParameterSpec& parameter, const Block& block,
                   std::span<T> out);

// Elements element_begin .. element_begin + out.size() - 1 of the input, and of the projection,
// [seq_len, batch_size, hidden_size] of the whole batch.
template <typename T>
void FillInput(uint64_t seed, int64_t element_begin, std::span<T> out);
template <typename T>
void FillProjection(uint64_t seed, int64_t element_begin, std::span<T> out);

// The cached prefix of a layer, likewise: elements of the whole [prefix_len, batch_size, 3 *
// hidden_size] as in_proj would write it.
template <typename T>
void FillPrefix(const ParameterKey& key, int64_t element_begin, std::span<T> out);

// Where a run's parameters, input, prefix and projection come from: drawn, as above, or a file.
// Elements are those of the whole tensors. Called on several threads at once.
class InitialValues {
 public:
  virtual ~InitialValues() = default;

  // As FillParameter, FillInput, FillProjection and FillPrefix.
  virtual void Parameter(int64_t layer, const ParameterSpec& parameter, const Block& block,
                         std::span<double> out) const = 0;
  virtual void Input(int64_t element_begin, std::span<double> out) const = 0;
  virtual void Projection(int64_t element_begin, std::span<double> out) const = 0;
  virtual void Prefix(int64_t layer, int64_t element_begin, std::span<double> out) const = 0;
};

class DrawnValues : public InitialValues {
 public:
  explicit DrawnValues(uint64_t seed) : seed_(seed) {}

  void Parameter(int64_t layer, const ParameterSpec& parameter, const Block& block,
                 std::span<double> out) const override {
    FillParameter<double>({seed_, layer}, parameter, block, out);
  }
  void Input(int64_t element_begin, std::span<double> out) const override {
    FillInput<double>(seed_, element_begin, out);
  }
  void Projection(int64_t element_begin, std::span<double> out) const override {
    FillProjection<double>(seed_, element_begin, out);
  }
  void Prefix(int64_t layer, int64_t element_begin, std::span<double> out) const override {
    FillPrefix<double>({seed_, layer}, element_begin, out);
  }

 private:
  uint64_t seed_;
};

}  // namespace sluice
