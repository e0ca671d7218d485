// Writes a safetensors file as a stream: all names, element types and shapes are given first, then
// the data, tensor by tensor in that order.  The file appears under its name whole, on Commit, or
// not at all (core/base/atomic_file.h).
//
//   SafetensorsWriter writer(path, {.tensors = {{"x", SafetensorsDType::kF32, {2, 3}}}});
//   writer.Write("x", std::as_bytes(std::span(x)));
//   writer.Commit();
//
// The data begins at a multiple of 8 bytes.  Inside it tensors follow one another without a gap, as
// the format demands: put those with large elements first if yours differ and alignment matters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/base/atomic_file.h"
#include "core/checkpoint/safetensors_header.h"

namespace sluice {

class SafetensorsWriter {
 public:
  // Writes the header.  Throws Error when the path cannot be written or the header is longer than
  // the format allows.
  SafetensorsWriter(const std::string& path, SafetensorsHeader header);

  // Appends `data` to the tensor `name`, which must be the first that is not complete: a tensor may
  // come in any number of pieces, tensors come in order.  Throws Error when the disk is full.
  void Write(std::string_view name, std::span<const std::byte> data);

  // Puts the file in its place.  All tensors must be complete.
  void Commit();

 private:
  // Moves on to the first tensor that still needs data.
  void SkipComplete();

  AtomicFile file_;
  SafetensorsHeader header_;
  size_t current_ = 0;           // index of the tensor being written
  int64_t remaining_bytes_ = 0;  // of that tensor
};

}  // namespace sluice
