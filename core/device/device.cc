#include "core/device/device.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "core/device/device_monitor.h"

namespace sluice {

std::string_view Name(DeviceKind kind) { return kind == DeviceKind::kCpu ? "cpu" : "cuda"; }

Buffer::Buffer(Buffer&& other) noexcept { *this = std::move(other); }

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

Buffer::~Buffer() {
  if (data_ == nullptr) return;
  device_->FreeBytes(data_, size_bytes_);
  device_->allocated_bytes_ -= size_bytes_;
}

std::unique_ptr<StreamTimer> Stream::MakeTimer() { return std::make_unique<StreamTimer>(*this); }

int64_t StreamTimer::ElapsedNs() {
  stream_.Synchronize();
  return ends_->ElapsedNs(0, 1);
}

std::unique_ptr<DeviceMonitor> Device::MakeMonitor() const { return nullptr; }

Buffer Device::Allocate(int64_t size_bytes, std::string_view what) {
  SLUICE_CHECK_GE(size_bytes, 0);
  if (size_bytes == 0) return Buffer();
  void* data = size_bytes <= available_bytes() ? AllocateBytes(size_bytes) : nullptr;
  if (data == nullptr) {
    throw Error(fmt::format("out of memory on {}: {} needs {}, {} are available", Name(kind()),
                            what, FormatBytes(size_bytes), FormatBytes(available_bytes())));
  }
  ++num_allocations_;
  allocated_bytes_ += size_bytes;
  peak_allocated_bytes_ = std::max(peak_allocated_bytes_, allocated_bytes_);
  return Buffer(this, data, size_bytes);
}

}  // namespace sluice
