#include "core/checkpoint/safetensors_writer.h"

#include <bit>
#include <utility>

#include "core/base/check.h"

namespace sluice {

static_assert(std::endian::native == std::endian::little,
              "the file's byte order is this machine's");

SafetensorsWriter::SafetensorsWriter(const std::string& path, SafetensorsHeader header)
    : file_(path), header_(std::move(header)) {
  file_.Write(FormatSafetensorsHeader(header_));
  if (!header_.tensors.empty()) remaining_bytes_ = SizeBytes(header_.tensors[0]);
  SkipComplete();
}

void SafetensorsWriter::SkipComplete() {
  while (remaining_bytes_ == 0 && current_ < header_.tensors.size()) {
    ++current_;
    if (current_ < header_.tensors.size()) remaining_bytes_ = SizeBytes(header_.tensors[current_]);
  }
}

void SafetensorsWriter::Write(std::string_view name, std::span<const std::byte> data) {
  if (data.empty()) return;
  SLUICE_CHECK_LT(current_, header_.tensors.size());
  SLUICE_CHECK_EQ(name, header_.tensors[current_].name);
  SLUICE_CHECK_LE(static_cast<int64_t>(data.size()), remaining_bytes_);
  file_.Write(data.data(), data.size());
  remaining_bytes_ -= static_cast<int64_t>(data.size());
  SkipComplete();
}

void SafetensorsWriter::Commit() {
  SLUICE_CHECK_EQ(current_, header_.tensors.size());
  file_.Commit();
}

}  // namespace sluice
