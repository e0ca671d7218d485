// A run's weights, input and projection out of a reference checkpoint, each rank's own part at a
// time.
//
//   const SafetensorsReader file(path);        // CheckReference has accepted it
//   const CheckpointValues values(file, seed);
//   Executor executor(plan, backend, world, values);
//   values.are_drawn()                         // whether all were those of the seed
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "core/checkpoint/safetensors_reader.h"
#include "core/model/initial_values.h"

namespace sluice {

class CheckpointValues : public InitialValues {
 public:
  // `file` must outlive this.  With a seed, every value that is read is compared with what would be
  // drawn from it.
  CheckpointValues(const SafetensorsReader& file, std::optional<uint64_t> seed)
      : file_(file), seed_(seed), are_drawn_(seed.has_value()) {}

  // Whether all values that have been read so far are those of the seed, to the rounding of the
  // file's element type.  (Normal numbers may differ between systems by the rounding of ln and
  // cos.)
  bool are_drawn() const { return are_drawn_; }

  // Throw Error when the file cannot be read, or naming an element that is not finite.
  void Parameter(int64_t layer, const ParameterSpec& parameter, const Block& block,
                 std::span<double> out) const override;
  void Input(int64_t element_begin, std::span<double> out) const override;
  void Projection(int64_t element_begin, std::span<double> out) const override;
  // A checkpoint has no cached prefix: must not be called.
  void Prefix(int64_t layer, int64_t element_begin, std::span<double> out) const override;

 private:
  template <typename Draw>
  void Compare(const std::string& name, std::span<const double> values, const Draw& draw) const;

  const SafetensorsReader& file_;
  std::optional<uint64_t> seed_;
  mutable std::atomic<bool> are_drawn_;
};

// Elements element_begin .. of a tensor of F64, F32, BF16 or F16, as float64.
void ReadAsFloat64(const SafetensorsReader& file, const std::string& name, int64_t element_begin,
                   std::span<double> out);

}  // namespace sluice
