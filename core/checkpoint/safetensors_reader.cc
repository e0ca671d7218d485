#include "core/checkpoint/safetensors_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>

#include "core/base/check.h"
#include "core/base/error.h"

namespace sluice {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the file's byte order is this machine's");

[[noreturn]] void Fail(const InputFile& file, std::string_view rule) {
  throw Error(fmt::format("'{}' is no safetensors file: {}", file.path(), rule));
}

// Returns the bytes of the header after its length field.
int64_t ReadHeaderLength(const InputFile& file) {
  if (file.size_bytes() < kSafetensorsLengthBytes) {
    Fail(file, fmt::format("it has {} bytes, too few for the {} of the header length",
                           file.size_bytes(), kSafetensorsLengthBytes));
  }
  uint64_t length = 0;
  file.ReadAt(0, std::as_writable_bytes(std::span(&length, 1)));
  if (length == 0) Fail(file, "the header length is 0; the shortest header is {}, 2 bytes");
  if (length > kMaxSafetensorsHeaderBytes) {
    Fail(file, fmt::format("the header length {} is over the limit of {}", length,
                           kMaxSafetensorsHeaderBytes));
  }
  const int64_t remaining = file.size_bytes() - kSafetensorsLengthBytes;
  if (static_cast<int64_t>(length) > remaining) {
    Fail(file, fmt::format("the header length {} is over the {} bytes that follow it", length,
                           remaining));
  }
  return static_cast<int64_t>(length);
}

SafetensorsHeader ReadHeader(const InputFile& file, int64_t header_bytes) {
  std::string text(static_cast<size_t>(header_bytes), '\0');
  file.ReadAt(kSafetensorsLengthBytes, std::as_writable_bytes(std::span(text)));
  try {
    return ParseSafetensorsHeader(text, file.size_bytes() - kSafetensorsLengthBytes - header_bytes);
  } catch (const Error& error) {
    Fail(file, error.what());
  }
}

}  // namespace

SafetensorsReader::SafetensorsReader(const std::string& path) : file_(path) {
  const int64_t header_bytes = ReadHeaderLength(file_);
  header_ = ReadHeader(file_, header_bytes);

  int64_t offset = kSafetensorsLengthBytes + header_bytes;
  offsets_.reserve(tensors().size());
  for (const SafetensorsTensor& tensor : tensors()) {
    offsets_.push_back(offset);
    offset += SizeBytes(tensor);
  }
  SLUICE_CHECK_EQ(offset, file_.size_bytes());

  by_name_.resize(tensors().size());
  std::iota(by_name_.begin(), by_name_.end(), size_t{0});
  std::ranges::sort(by_name_, {},
                    [&](size_t i) -> const std::string& { return tensors()[i].name; });
}

const SafetensorsTensor* SafetensorsReader::Find(std::string_view name) const {
  const auto name_of = [&](size_t i) -> std::string_view { return tensors()[i].name; };
  const auto found = std::ranges::lower_bound(by_name_, name, {}, name_of);
  return found != by_name_.end() && name_of(*found) == name ? &tensors()[*found] : nullptr;
}

size_t SafetensorsReader::IndexOf(std::string_view name) const {
  const SafetensorsTensor* found = Find(name);
  if (found == nullptr)
    throw Error(fmt::format("'{}' has no tensor '{}'", path(), Printable(name)));
  return static_cast<size_t>(found - tensors().data());
}

void SafetensorsReader::Read(std::string_view name, std::span<std::byte> out) const {
  const size_t index = IndexOf(name);
  SLUICE_CHECK_EQ(static_cast<int64_t>(out.size()), SizeBytes(tensors()[index]));
  ReadData(index, 0, out);
}

void SafetensorsReader::ReadElements(std::string_view name, int64_t element_begin,
                                     std::span<std::byte> out) const {
  const size_t index = IndexOf(name);
  const int64_t element_bytes =
      SizeBytes({.name = std::string(name), .dtype = tensors()[index].dtype});
  const int64_t begin = element_begin * element_bytes;
  SLUICE_CHECK_LE(0, begin);
  SLUICE_CHECK_EQ(std::ssize(out) % element_bytes, 0);
  SLUICE_CHECK_LE(begin + std::ssize(out), SizeBytes(tensors()[index]));
  ReadData(index, begin, out);
}

void SafetensorsReader::ReadRows(std::string_view name, RowRange rows,
                                 std::span<std::byte> out) const {
  const size_t index = IndexOf(name);
  SafetensorsTensor row = tensors()[index];
  SLUICE_CHECK(!row.shape.empty());
  SLUICE_CHECK_LE(0, rows.begin);
  SLUICE_CHECK_LE(rows.begin, rows.end);
  SLUICE_CHECK_LE(rows.end, row.shape[0]);
  row.shape.erase(row.shape.begin());
  const int64_t row_bytes = SizeBytes(row);
  SLUICE_CHECK_EQ(static_cast<int64_t>(out.size()), (rows.end - rows.begin) * row_bytes);
  ReadData(index, rows.begin * row_bytes, out);
}

void SafetensorsReader::ReadData(size_t index, int64_t offset, std::span<std::byte> out) const {
  try {
    file_.ReadAt(offsets_[index] + offset, out);
  } catch (const Error& error) {
    throw Error(fmt::format("tensor '{}': {}", Printable(tensors()[index].name), error.what()));
  }
}

}  // namespace sluice
