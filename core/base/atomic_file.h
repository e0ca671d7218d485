// A file that appears whole or not at all: written beside the target, synced, renamed over it.
// Until then it has no name, so that nothing is left of it however the process ends; only where the
// file system has no such files (O_TMPFILE) it has a temporary one.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sluice {

class AtomicFile {
 public:
  // Follows symbolic links.  Throws Error naming the path and the reason when `path` is a folder,
  // has no parent folder, or cannot be written. The target is untouched until Commit.
  explicit AtomicFile(const std::string& path);

  // Removes the temporary file if Commit was not called.
  ~AtomicFile();

  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Appends `size` bytes.  Throws Error naming path and errno's text (a full disk, say).
  void Write(const void* data, size_t size);
  void Write(std::string_view text) { Write(text.data(), text.size()); }

  // Syncs the data to disk and renames it over the target.  Throws Error; the old target is then
  // intact.
  void Commit();

 private:
  std::string TemporaryName(int attempt) const;
  // Closes the file and removes its temporary name.
  void Abandon();
  // Gives a file without a name a temporary one, which a rename needs.
  void Name();
  [[noreturn]] void Fail(std::string_view action);

  std::string path_;
  std::string temporary_path_;  // empty: it has none
  int descriptor_ = -1;
};

// Writes `text` as the whole content of `path`, atomically.
void WriteFileAtomically(const std::string& path, std::string_view text);

// Throws Error unless a file can be made at `path`: call before long work whose result goes there.
// Leaves no trace.
void CheckWritable(const std::string& path);

}  // namespace sluice
