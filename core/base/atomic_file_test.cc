#include "core/base/atomic_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "core/base/error.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

class AtomicFileTest : public ::testing::Test {
 protected:
  AtomicFileTest() : folder_(fs::path(::testing::TempDir()) / "atomic_file") {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }

  std::string Path(const std::string& name) const { return folder_ / name; }

  static std::string Read(const std::string& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  size_t NumEntries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), {}));
  }

  fs::path folder_;
};

TEST_F(AtomicFileTest, AppearsOnlyOnCommit) {
  {
    AtomicFile file(Path("a"));
    file.Write("new");
    EXPECT_FALSE(fs::exists(Path("a")));
    file.Commit();
  }
  EXPECT_EQ(Read(Path("a")), "new");
  EXPECT_EQ(NumEntries(), 1u);
}

TEST_F(AtomicFileTest, AbandonedLeavesTheOldFile) {
  WriteFileAtomically(Path("a"), "old");
  { AtomicFile(Path("a")).Write("half"); }
  EXPECT_EQ(Read(Path("a")), "old");
  EXPECT_EQ(NumEntries(), 1u);
}

TEST_F(AtomicFileTest, WritesThroughLinks) {
  fs::create_directories(folder_ / "elsewhere");
  fs::create_symlink("elsewhere/file", Path("relative"));
  fs::create_symlink(folder_ / "relative", Path("absolute"));
  for (const std::string text : {"first", "second"}) {  // the first time there is no file yet
    WriteFileAtomically(Path("absolute"), text);
    EXPECT_EQ(Read(Path("elsewhere/file")), text);
  }
  EXPECT_TRUE(fs::is_symlink(Path("relative")));
  EXPECT_TRUE(fs::is_symlink(Path("absolute")));
  fs::create_symlink("round", Path("round"));
  EXPECT_THROW(CheckWritable(Path("round")), Error);
}

TEST_F(AtomicFileTest, KilledLeavesNothing) {
  const int unnamed = open(folder_.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644);
  if (unnamed < 0) GTEST_SKIP() << "the file system has no files without a name";
  close(unnamed);
  WriteFileAtomically(Path("a"), "old");
  const pid_t child = fork();
  if (child == 0) {
    AtomicFile file(Path("a"));
    file.Write("half");
    raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(Read(Path("a")), "old");
  EXPECT_EQ(NumEntries(), 1u);
}

TEST_F(AtomicFileTest, RefusesBadTargetsByName) {
  EXPECT_THROW(AtomicFile(""), Error);
  EXPECT_THROW(AtomicFile(folder_.string()), Error);
  EXPECT_THROW(AtomicFile("/dev/null"), Error);
  try {
    CheckWritable(Path("missing/a"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("there is no folder"), std::string::npos);
  }
  EXPECT_EQ(NumEntries(), 0u);
}

// What a shell's >(command) is: a link to something that is no file.
TEST_F(AtomicFileTest, RefusesAPipe) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  try {
    CheckWritable("/dev/fd/" + std::to_string(ends[1]));
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("it is not a regular file"), std::string::npos);
  }
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace sluice
