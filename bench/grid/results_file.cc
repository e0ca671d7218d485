#include "bench/grid/results_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/base/error.h"

namespace sluice {

ResultsFile::ResultsFile(const std::string& path, OpenMode mode) : path_(path) {
  descriptor_ = open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0644);
  if (descriptor_ < 0) Fail("open");
  try {
    if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
      throw Error(fmt::format("'{}' is being written by another process", path_));
    }
    ReadLines();
    if (mode == OpenMode::kNew && !lines_.empty()) {
      throw Error(fmt::format(
          "'{}' holds {} result(s) already: give --resume to go on with them, or another --out",
          path_, lines_.size()));
    }
  } catch (const Error&) {
    close(descriptor_);
    throw;
  }
}

ResultsFile::~ResultsFile() { close(descriptor_); }

void ResultsFile::Fail(std::string_view action) const {
  throw Error(fmt::format("cannot {} '{}': {}", action, path_, std::strerror(errno)));
}

void ResultsFile::ReadLines() {
  const off_t size = lseek(descriptor_, 0, SEEK_END);
  if (size < 0) Fail("read");
  std::string text(static_cast<size_t>(size), '\0');
  for (size_t done = 0; done < text.size();) {
    const ssize_t count =
        pread(descriptor_, text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) Fail("read");
    done += static_cast<size_t>(count);
  }
  size_t begin = 0;
  for (size_t end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    lines_.push_back(text.substr(begin, end - begin));
  }
  if (begin < text.size() && ftruncate(descriptor_, static_cast<off_t>(begin)) != 0) Fail("cut");
}

void ResultsFile::Append(std::string_view line) {
  const std::string text = std::string(line) + "\n";
  for (size_t done = 0; done < text.size();) {
    const ssize_t count = write(descriptor_, text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) Fail("write");
    done += static_cast<size_t>(count);
  }
}

}  // namespace sluice
