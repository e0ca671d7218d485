#include "bench/grid/results_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include "core/base/error.h"

namespace sluice {
namespace {

using Lines = std::vector<std::string>;

class ResultsFileTest : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::remove(path_); }

  void Write(const std::string& text) { std::ofstream(path_) << text; }

  std::string Text() {
    std::ifstream in(path_);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::string Refusal(const std::string& path, OpenMode mode) {
    try {
      ResultsFile file(path, mode);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  std::string path_ = testing::TempDir() + "/results.jsonl";
};

TEST_F(ResultsFileTest, HasEachLineAtOnce) {
  ResultsFile file(path_, OpenMode::kNew);
  EXPECT_EQ(file.lines(), Lines());
  file.Append("a");
  EXPECT_EQ(Text(), "a\n");
  file.Append("b");
  EXPECT_EQ(Text(), "a\nb\n");
}

TEST_F(ResultsFileTest, GoesOn) {
  Write("a\nb\n");
  ResultsFile file(path_, OpenMode::kResume);
  EXPECT_EQ(file.lines(), Lines({"a", "b"}));
  file.Append("c");
  EXPECT_EQ(Text(), "a\nb\nc\n");
}

TEST_F(ResultsFileTest, DropsALineWithoutEnd) {
  Write("a\nbroke");
  std::optional<ResultsFile> file(std::in_place, path_, OpenMode::kResume);
  EXPECT_EQ(file->lines(), Lines({"a"}));
  file->Append("c");
  EXPECT_EQ(Text(), "a\nc\n");
  file.reset();
  Write("broke");
  file.emplace(path_, OpenMode::kNew);
  EXPECT_EQ(file->lines(), Lines());
  EXPECT_EQ(Text(), "");
}

TEST_F(ResultsFileTest, BeginsWhereNothingIs) {
  EXPECT_EQ(Refusal(path_, OpenMode::kResume), "");
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(ResultsFileTest, KeepsResultsThatAreThere) {
  Write("a\n");
  EXPECT_NE(Refusal(path_, OpenMode::kNew).find("holds 1 result(s) already: give --resume"),
            std::string::npos);
  EXPECT_EQ(Text(), "a\n");
}

TEST_F(ResultsFileTest, RefusesASecondWriter) {
  const ResultsFile file(path_, OpenMode::kNew);
  EXPECT_NE(Refusal(path_, OpenMode::kResume).find("is being written by another process"),
            std::string::npos);
}

TEST_F(ResultsFileTest, RefusesWhatCannotBeWritten) {
  EXPECT_NE(Refusal(testing::TempDir(), OpenMode::kNew).find("Is a directory"), std::string::npos);
  EXPECT_NE(Refusal(testing::TempDir() + "/none/x", OpenMode::kNew).find("No such file"),
            std::string::npos);
}

TEST(ResultsFile, TellsOfAFullDisk) {
  try {
    ResultsFile file("/dev/full", OpenMode::kNew);
    file.Append("a");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "cannot write '/dev/full': No space left on device");
  }
}

}  // namespace
}  // namespace sluice
