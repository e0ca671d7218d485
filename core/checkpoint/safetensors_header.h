// The header of a safetensors file: names, element types, shapes and metadata, to and from text.
//
// A safetensors file is
//
//   8 bytes                  header length n, unsigned little-endian
//   n bytes                  header, UTF-8 JSON, padded with spaces so that the data is 8-aligned:
//                            {"__metadata__": {"key": "value"},
//                             "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
//   rest of the file         data, little-endian, row-major; offsets count from its first byte
//
// and every byte of the data belongs to exactly one tensor.  So the tensors in the order of their
// data, with their element types and shapes, say all that the offsets say: offsets exist only in
// the text.
//
// Source: the format description in the README of the safetensors project.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

// Element types that a safetensors file may hold, by the format's own names (F8_E4M3 is kF8E4M3).
// They are the file's; what Sluice computes in is DType (core/tensor/dtype.h).
enum class SafetensorsDType : uint8_t {
  kBool,
  kF4,
  kF6E2M3,
  kF6E3M2,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kF8E8M0,
  kF8E5M2Fnuz,
  kF8E4M3Fnuz,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kC64,
  kF64,
  kI64,
  kU64,
};

// "F32", as in the header.
std::string_view Name(SafetensorsDType dtype);

// One tensor of a file.
struct SafetensorsTensor {
  std::string name;
  SafetensorsDType dtype = SafetensorsDType::kF32;
  std::vector<int64_t> shape;  // outermost first; empty for a scalar

  bool operator==(const SafetensorsTensor&) const = default;
};

// Bytes of the whole tensor.  Throws Error naming the tensor when the size overflows 63 bits or is
// no whole number of bytes (elements of 4 and 6 bits).
int64_t SizeBytes(const SafetensorsTensor& tensor);

using SafetensorsMetadata = std::map<std::string, std::string, std::less<>>;

struct SafetensorsHeader {
  std::vector<SafetensorsTensor> tensors;  // in the order of their data
  SafetensorsMetadata metadata;

  bool operator==(const SafetensorsHeader&) const = default;
};

// The length field before the header, and the longest header that the format allows.
inline constexpr int64_t kSafetensorsLengthBytes = 8;
inline constexpr int64_t kMaxSafetensorsHeaderBytes = 100'000'000;

// Returns text of a file as one short line for a message: at most 64 bytes, and everything but
// printable ASCII escaped.
std::string Printable(std::string_view text);

// Reads the n bytes of header `text` of a file with `data_bytes` bytes of data.  Accepts what the
// format allows and nothing else.  Throws Error naming the tensor (or metadata key) and the rule
// that it breaks; names in messages are shortened and their control characters escaped.
SafetensorsHeader ParseSafetensorsHeader(std::string_view text, int64_t data_bytes);

// Returns the beginning of a file: length field, header, padding.  Names must be UTF-8 and differ.
// Throws Error when the header would be longer than the format allows.
std::string FormatSafetensorsHeader(const SafetensorsHeader& header);

}  // namespace sluice
