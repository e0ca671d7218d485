// Reads a safetensors file, strictly: a file that breaks any rule of the format is refused when it
// is opened, and tensors are then read on demand, whole or by rows, into the caller's memory.  A
// reader itself holds the header only, so files may be larger than memory.
//
//   const SafetensorsReader reader(path);
//   std::vector<float> weight(...);
//   reader.Read("layers.0.fc1.weight", std::as_writable_bytes(std::span(weight)));
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/input_file.h"
#include "core/checkpoint/safetensors_header.h"

namespace sluice {

// Rows begin .. end - 1 of a tensor's outermost dimension.
struct RowRange {
  int64_t begin;
  int64_t end;
};

class SafetensorsReader {
 public:
  // Reads and checks the header.  Throws Error naming file, tensor and the rule that is broken; see
  // ParseSafetensorsHeader.  A path that is no regular file is refused at once.
  explicit SafetensorsReader(const std::string& path);

  const std::string& path() const { return file_.path(); }
  const SafetensorsMetadata& metadata() const { return header_.metadata; }

  // All tensors, in the order of their data: the order to read them in.
  const std::vector<SafetensorsTensor>& tensors() const { return header_.tensors; }

  // Returns the tensor of that name, or nullptr.
  const SafetensorsTensor* Find(std::string_view name) const;

  // Overwrites `out` with the tensor's bytes as they stand in the file (little-endian, row-major).
  // `out` must have the tensor's size.  Throws Error when there is no such tensor, or when the file
  // has shrunk or cannot be read.  Any thread may call it.
  void Read(std::string_view name, std::span<std::byte> out) const;

  // The same for consecutive elements from `element_begin` on, which must lie in the tensor.  Its
  // elements must be whole bytes.
  void ReadElements(std::string_view name, int64_t element_begin, std::span<std::byte> out) const;

  // The same for some rows.  The range must lie in the tensor, and its rows must be whole bytes.
  void ReadRows(std::string_view name, RowRange rows, std::span<std::byte> out) const;

 private:
  // Index into tensors(); throws Error when there is no such tensor.
  size_t IndexOf(std::string_view name) const;

  // Reads from `offset` in the tensor's data.
  void ReadData(size_t index, int64_t offset, std::span<std::byte> out) const;

  InputFile file_;
  SafetensorsHeader header_;
  std::vector<int64_t> offsets_;  // of each tensor's data in the file
  std::vector<size_t> by_name_;   // indices into tensors(), sorted by name
};

}  // namespace sluice
