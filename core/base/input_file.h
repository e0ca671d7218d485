// A regular file opened for reading at any position, by any thread.
//
// A FIFO, a device or a folder given as a path is refused and never waited for.  Bytes are read,
// not mapped: a mapped file that shrinks kills the process, a read one throws.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace sluice {

class InputFile {
 public:
  // Throws Error naming the path and the reason: it cannot be opened, or is no regular file.
  explicit InputFile(const std::string& path);
  ~InputFile();

  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }

  // The size when the file was opened.
  int64_t size_bytes() const { return size_bytes_; }

  // Overwrites `out` with the bytes from `offset` on.  Throws Error naming the path when reading
  // fails or the file ends before `out` is full.
  void ReadAt(int64_t offset, std::span<std::byte> out) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  int64_t size_bytes_ = 0;
};

// Returns the whole content of a text file.  Throws Error as InputFile does, and naming the size
// when it is over `max_bytes`.
std::string ReadTextFile(const std::string& path, int64_t max_bytes = int64_t{1} << 30);

}  // namespace sluice
