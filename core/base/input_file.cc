#include "core/base/input_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/base/error.h"

namespace sluice {
namespace {

const char* FileKind(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return "not a regular file";
}

}  // namespace

InputFile::InputFile(const std::string& path) : path_(path) {
  // O_NONBLOCK: opening a FIFO that nobody writes would wait for ever.
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor < 0) throw Error(fmt::format("cannot read '{}': {}", path, std::strerror(errno)));
  struct stat status = {};
  if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(descriptor);
    throw Error(fmt::format("cannot read '{}': it is {}", path, FileKind(status.st_mode)));
  }
  descriptor_ = descriptor;
  size_bytes_ = status.st_size;
}

InputFile::~InputFile() { close(descriptor_); }

void InputFile::ReadAt(int64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t num_read = pread(descriptor_, out.data(), out.size(), offset);
    if (num_read < 0 && errno == EINTR) continue;
    if (num_read < 0) {
      throw Error(
          fmt::format("cannot read '{}' at byte {}: {}", path_, offset, std::strerror(errno)));
    }
    if (num_read == 0) {
      throw Error(
          fmt::format("cannot read '{}': it ends at byte {}, {} bytes early; it had {} "
                      "bytes when it was opened",
                      path_, offset, out.size(), size_bytes_));
    }
    offset += num_read;
    out = out.subspan(static_cast<size_t>(num_read));
  }
}

std::string ReadTextFile(const std::string& path, int64_t max_bytes) {
  const InputFile file(path);
  if (file.size_bytes() > max_bytes) {
    throw Error(fmt::format("'{}' has {} bytes; at most {} are allowed", path, file.size_bytes(),
                            max_bytes));
  }
  std::string text(static_cast<size_t>(file.size_bytes()), '\0');
  file.ReadAt(0, std::as_writable_bytes(std::span(text)));
  return text;
}

}  // namespace sluice
