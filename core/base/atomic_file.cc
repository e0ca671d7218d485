#include "core/base/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/base/error.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

// The file that `path` stands for, so that a symbolic link stays one.
std::string FollowLinks(const std::string& path) {
  constexpr int kMostLinks = 40;  // as many as Linux follows
  std::error_code ignored;
  fs::path file = path;
  for (int i = 0; fs::is_symlink(file, ignored); ++i) {
    if (i == kMostLinks) throw Error(fmt::format("cannot write '{}': its links go round", path));
    file = file.parent_path() / fs::read_symlink(file);  // an absolute one replaces its folder
  }
  return file;
}

}  // namespace

AtomicFile::AtomicFile(const std::string& path) : path_(FollowLinks(path)) {
  std::error_code ignored;
  if (path.empty()) throw Error("cannot write a file: its path is empty");
  if (fs::is_directory(path, ignored))
    throw Error(fmt::format("cannot write '{}': it is a folder", path));
  std::error_code no_working_folder;
  const fs::path parent = fs::absolute(path_, no_working_folder).parent_path();
  if (no_working_folder) {
    throw Error(fmt::format("cannot write '{}': the working folder is gone", path));
  }
  if (!fs::is_directory(parent, ignored)) {
    throw Error(fmt::format("cannot write '{}': there is no folder '{}'", path, parent.string()));
  }
  if (fs::exists(path, ignored) && !fs::is_regular_file(path, ignored)) {
    throw Error(fmt::format("cannot write '{}': it is not a regular file", path));
  }
  // It is given at the end, and must be possible.
  struct stat status = {};
  if (lstat(TemporaryName(0).c_str(), &status) != 0 && errno != ENOENT) Fail("create");
  descriptor_ = open(parent.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644);
  if (descriptor_ < 0) {
    temporary_path_ = path_ + ".tmp.XXXXXX";
    descriptor_ = mkostemp(temporary_path_.data(), O_CLOEXEC);
  }
  if (descriptor_ < 0) Fail("create");
  // mkostemp makes files private; a result is for everyone to read.
  if (fchmod(descriptor_, 0644) != 0) Fail("set the mode of");
}

AtomicFile::~AtomicFile() { Abandon(); }

std::string AtomicFile::TemporaryName(int attempt) const {
  return fmt::format("{}.tmp.{}.{}", path_, getpid(), attempt);
}

void AtomicFile::Abandon() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  descriptor_ = -1;
  if (!temporary_path_.empty()) unlink(temporary_path_.c_str());
}

void AtomicFile::Fail(std::string_view action) {
  const int code = errno;
  Abandon();  // a constructor that throws has no destructor
  throw Error(fmt::format("cannot {} '{}': {}", action, path_, std::strerror(code)));
}

void AtomicFile::Name() {
  const std::string unnamed = fmt::format("/proc/self/fd/{}", descriptor_);
  for (int attempt = 0;; ++attempt) {
    const std::string name = TemporaryName(attempt);
    if (linkat(AT_FDCWD, unnamed.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0) {
      temporary_path_ = name;
      return;
    }
    if (errno != EEXIST) Fail("name");
  }
}

void AtomicFile::Write(const void* data, size_t size) {
  const char* next = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = write(descriptor_, next, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) Fail("write");
    next += written;
    size -= static_cast<size_t>(written);
  }
}

void AtomicFile::Commit() {
  if (fsync(descriptor_) != 0) Fail("sync");
  if (temporary_path_.empty()) Name();
  if (rename(temporary_path_.c_str(), path_.c_str()) != 0) Fail("rename to");
  close(descriptor_);
  descriptor_ = -1;
}

void WriteFileAtomically(const std::string& path, std::string_view text) {
  AtomicFile file(path);
  file.Write(text);
  file.Commit();
}

void CheckWritable(const std::string& path) { AtomicFile file(path); }

}  // namespace sluice
