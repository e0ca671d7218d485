// A file with one result per line. Each line is on disk as soon as it is known, so that an
// interrupted search can be resumed.
//
//   ResultsFile file("grid.jsonl", OpenMode::kResume);
//   for (const std::string& line : file.lines()) ...   // results of an earlier run
//   file.Append(line);
//
// The file is not written atomically, because a search of an hour must leave the results it has. If
// the last line was cut short by a kill or a full disk, the next run drops it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sluice {

enum class OpenMode { kNew, kResume };

class ResultsFile {
 public:
  // kNew throws Error if the file exists and is not empty. kResume appends to an existing file,
  // after dropping a last line without a newline. Both throw Error if the file cannot be written,
  // or if another process is writing it.
  ResultsFile(const std::string& path, OpenMode mode);
  ~ResultsFile();

  ResultsFile(const ResultsFile&) = delete;
  ResultsFile& operator=(const ResultsFile&) = delete;

  // The complete lines that the file had when it was opened.
  const std::vector<std::string>& lines() const { return lines_; }

  // Appends the line and a newline in one write. Throws Error naming the file and the reason.
  void Append(std::string_view line);

 private:
  [[noreturn]] void Fail(std::string_view action) const;
  void ReadLines();

  std::string path_;
  int descriptor_ = -1;
  std::vector<std::string> lines_;
};

}  // namespace sluice
