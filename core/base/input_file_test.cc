#include "core/base/input_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "core/base/error.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

class InputFileTest : public ::testing::Test {
 protected:
  InputFileTest() : folder_(fs::path(::testing::TempDir()) / "input_file") {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::ofstream(Path("digits")) << "0123456789";
  }

  std::string Path(const std::string& name) const { return folder_ / name; }

  static void ExpectRefused(const std::string& path, std::string_view reason) {
    try {
      InputFile file(path);
      ADD_FAILURE() << path << " was opened";
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find(path), std::string::npos) << message;
      EXPECT_NE(message.find(reason), std::string::npos) << message;
    }
  }

  fs::path folder_;
};

TEST_F(InputFileTest, ReadsAnywhere) {
  const InputFile file(Path("digits"));
  EXPECT_EQ(file.size_bytes(), 10);
  std::array<std::byte, 4> out = {};
  file.ReadAt(6, out);
  EXPECT_EQ(out[0], std::byte{'6'});
  EXPECT_EQ(out[3], std::byte{'9'});
  file.ReadAt(10, std::span<std::byte>());
}

TEST_F(InputFileTest, RefusesWhatIsNoRegularFileWithoutWaiting) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  ExpectRefused(Path("fifo"), "it is a FIFO");
  ExpectRefused(folder_, "it is a folder");
  ExpectRefused("/dev/zero", "it is a device");
  ExpectRefused(Path("missing"), "No such file");
  ExpectRefused("", "No such file");
}

TEST_F(InputFileTest, SaysWhenTheFileShrank) {
  const InputFile file(Path("digits"));
  fs::resize_file(Path("digits"), 5);
  std::array<std::byte, 4> out = {};
  try {
    file.ReadAt(3, out);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("it ends at byte 5, 2 bytes early"), std::string::npos)
        << error.what();
  }
}

TEST_F(InputFileTest, TextIsReadWholeUpToALimit) {
  EXPECT_EQ(ReadTextFile(Path("digits")), "0123456789");
  try {
    ReadTextFile(Path("digits"), 9);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("has 10 bytes; at most 9 are allowed"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace sluice
