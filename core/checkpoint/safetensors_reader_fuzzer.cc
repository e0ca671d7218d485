// libFuzzer target: any bytes are a file.  The reader either throws Error, or describes a file that
// it can read in full and whose header survives being written and read again.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/checkpoint/safetensors_reader.h"

namespace {

// Keeps the bytes in memory: a file system would be most of the work.
class MemoryFile {
 public:
  MemoryFile(const uint8_t* data, size_t size) : descriptor_(memfd_create("fuzz", MFD_CLOEXEC)) {
    SLUICE_CHECK(descriptor_ >= 0);
    SLUICE_CHECK_EQ(write(descriptor_, data, size), static_cast<ssize_t>(size));
  }
  ~MemoryFile() { close(descriptor_); }

  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

void CheckReadable(const sluice::SafetensorsReader& reader) {
  int64_t data_bytes = 0;
  for (const sluice::SafetensorsTensor& tensor : reader.tensors()) {
    SLUICE_CHECK(reader.Find(tensor.name) == &tensor);
    const int64_t size_bytes = SizeBytes(tensor);
    std::vector<std::byte> whole(static_cast<size_t>(size_bytes));
    reader.Read(tensor.name, whole);
    data_bytes += size_bytes;
  }
  const sluice::SafetensorsHeader header = {reader.tensors(), reader.metadata()};
  const std::string text = FormatSafetensorsHeader(header);
  SLUICE_CHECK_EQ(text.size() % 8, 0u);
  SLUICE_CHECK(sluice::ParseSafetensorsHeader(text.substr(8), data_bytes) == header);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const MemoryFile file(data, size);
  try {
    CheckReadable(sluice::SafetensorsReader(file.path()));
  } catch (const sluice::Error&) {
  }
  return 0;
}
