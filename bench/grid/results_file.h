// Results as lines of a file, each there as soon as it is known, so that an interrupted search can
// go on where it was.
//
//   ResultsFile file("grid.jsonl", OpenMode::kResume);
//   for (const std::string& line : file.lines()) ...   // what an earlier run left
//   file.Append(line);
//
// Not an AtomicFile: a search of an hour must leave what it has.  A line that was cut short,
// because its writer was killed or the disk was full, is dropped by the next run.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sluice {

enum class OpenMode { kNew, kResume };

class ResultsFile {
 public:
  // kNew throws Error when the file exists and is not empty; kResume goes on with one that does,
  // after cutting a last line that has no end.  Both throw Error where the file cannot be written,
  // or another process is writing it.
  ResultsFile(const std::string& path, OpenMode mode);
  ~ResultsFile();

  ResultsFile(const ResultsFile&) = delete;
  ResultsFile& operator=(const ResultsFile&) = delete;

  // The whole lines that were there when the file was opened.
  const std::vector<std::string>& lines() const { return lines_; }

  // Writes the line, which has no newline of its own, in one piece.  Throws Error naming the file
  // and the reason.
  void Append(std::string_view line);

 private:
  [[noreturn]] void Fail(std::string_view action) const;
  void ReadLines();

  std::string path_;
  int descriptor_ = -1;
  std::vector<std::string> lines_;
};

}  // namespace sluice
