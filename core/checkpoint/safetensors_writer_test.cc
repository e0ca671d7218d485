#include "core/checkpoint/safetensors_writer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/checkpoint/safetensors_reader.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

// The table of safetensors_oracle.py.
SafetensorsHeader OracleHeader() {
  return {.tensors = {{"layers.0.fc1.weight", SafetensorsDType::kF32, {3, 5}},
                      {"wide", SafetensorsDType::kF64, {2, 1, 4}},
                      {"half", SafetensorsDType::kF16, {6}},
                      {"scalar", SafetensorsDType::kI64, {}},
                      {"quote \" and \u00e9", SafetensorsDType::kI32, {4}},
                      {"nothing", SafetensorsDType::kF32, {0, 3}}},
          .metadata = {{"model", "test"}, {"note", "line\n\"two\""}}};
}

// An IEEE half of a multiple of 1/4 with a magnitude under 2: exact.
uint16_t HalfBits(double value) {
  if (value == 0) return 0;
  int exponent = 0;
  const double fraction = std::frexp(std::abs(value), &exponent);  // in [1/2, 1)
  const auto mantissa = static_cast<uint16_t>((2 * fraction - 1) * 1024);
  return static_cast<uint16_t>((value < 0 ? 0x8000 : 0) | ((exponent - 1 + 15) << 10) | mantissa);
}

template <typename T>
void Append(T value, std::vector<std::byte>& out) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

std::vector<std::byte> OracleData(const SafetensorsTensor& tensor, int64_t row) {
  int64_t num_elements = 1;
  for (const int64_t extent : tensor.shape) num_elements *= extent;
  std::vector<std::byte> out;
  for (int64_t i = 0; i < num_elements; ++i) {
    const double value = static_cast<double>((7 * i + row) % 13 - 6) / 4;
    switch (tensor.dtype) {
      case SafetensorsDType::kF64:
        Append(value, out);
        break;
      case SafetensorsDType::kF32:
        Append(static_cast<float>(value), out);
        break;
      case SafetensorsDType::kF16:
        Append(HalfBits(value), out);
        break;
      case SafetensorsDType::kI64:
        Append(static_cast<int64_t>(value), out);
        break;
      case SafetensorsDType::kI32:
        Append(static_cast<int32_t>(value), out);
        break;
      default:
        ADD_FAILURE() << Name(tensor.dtype);
    }
  }
  return out;
}

class SafetensorsWriterTest : public ::testing::Test {
 protected:
  SafetensorsWriterTest() : folder_(fs::path(::testing::TempDir()) / "safetensors_writer") {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }

  std::string Path(const std::string& name) const { return folder_ / name; }

  static std::string ReadFile(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  size_t NumEntries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), {}));
  }

  // Runs the Python oracle; true if it exits with 0.
  static bool Oracle(const std::string& mode, const std::string& path) {
    return std::system(fmt::format("/usr/bin/python3 core/checkpoint/safetensors_oracle.py {} '{}'",
                                   mode, path)
                           .c_str()) == 0;
  }

  static void WriteOracleFile(const std::string& path) {
    const SafetensorsHeader header = OracleHeader();
    SafetensorsWriter writer(path, header);
    for (size_t row = 0; row < header.tensors.size(); ++row) {
      const SafetensorsTensor& tensor = header.tensors[row];
      const std::vector<std::byte> data = OracleData(tensor, static_cast<int64_t>(row));
      // In two pieces, as a large tensor would come.
      const std::span<const std::byte> bytes(data);
      writer.Write(tensor.name, bytes.first(data.size() / 3));
      writer.Write(tensor.name, bytes.subspan(data.size() / 3));
    }
    writer.Commit();
  }

  fs::path folder_;
};

TEST_F(SafetensorsWriterTest, WritesWhatPythonReads) {
  WriteOracleFile(Path("a"));
  EXPECT_TRUE(Oracle("check", Path("a")));
  EXPECT_EQ(NumEntries(), 1u);
}

TEST_F(SafetensorsWriterTest, PythonSeesEveryFlippedByteOfTheData) {
  WriteOracleFile(Path("a"));
  const std::string good = ReadFile(Path("a"));
  for (const size_t distance : {size_t{1}, size_t{30}, size_t{100}}) {
    std::string bad = good;
    bad[bad.size() - distance] ^= 1;
    std::ofstream(Path("a"), std::ios::binary) << bad;
    EXPECT_FALSE(Oracle("check", Path("a"))) << distance;
  }
}

TEST_F(SafetensorsWriterTest, ReaderReadsWhatPythonWrites) {
  ASSERT_TRUE(Oracle("make", Path("a")));
  const SafetensorsReader reader(Path("a"));
  const SafetensorsHeader header = OracleHeader();
  EXPECT_EQ(reader.metadata(), header.metadata);
  ASSERT_EQ(reader.tensors().size(), header.tensors.size());
  for (size_t row = 0; row < header.tensors.size(); ++row) {
    const SafetensorsTensor& tensor = header.tensors[row];
    SCOPED_TRACE(tensor.name);
    ASSERT_NE(reader.Find(tensor.name), nullptr);
    EXPECT_EQ(*reader.Find(tensor.name), tensor);
    const std::vector<std::byte> expected = OracleData(tensor, static_cast<int64_t>(row));
    std::vector<std::byte> found(expected.size());
    reader.Read(tensor.name, found);
    EXPECT_EQ(found, expected);
  }
}

TEST_F(SafetensorsWriterTest, ReaderReadsWhatItWrites) {
  WriteOracleFile(Path("a"));
  const SafetensorsReader reader(Path("a"));
  EXPECT_EQ((SafetensorsHeader{reader.tensors(), reader.metadata()}), OracleHeader());
  std::vector<std::byte> row(5 * sizeof(float));
  reader.ReadRows("layers.0.fc1.weight", {2, 3}, row);
  const std::vector<std::byte> whole = OracleData(reader.tensors()[0], 0);
  EXPECT_TRUE(std::ranges::equal(row, std::span(whole).subspan(2 * row.size())));
}

TEST_F(SafetensorsWriterTest, WritesAFileWithoutTensors) {
  SafetensorsWriter(Path("a"), {}).Commit();
  EXPECT_EQ(ReadFile(Path("a")), std::string("\x08\0\0\0\0\0\0\0{}      ", 16));
}

TEST_F(SafetensorsWriterTest, AbandonedLeavesTheOldFile) {
  std::ofstream(Path("a")) << "old";
  {
    SafetensorsWriter writer(Path("a"), OracleHeader());
    writer.Write("layers.0.fc1.weight", std::vector<std::byte>(60));
  }
  EXPECT_EQ(ReadFile(Path("a")), "old");
  EXPECT_EQ(NumEntries(), 1u);
}

TEST_F(SafetensorsWriterTest, AFullDiskLeavesTheOldFileAndSaysSo) {
  std::ofstream(Path("a")) << "old";
  // A limit on file sizes stands in for a full disk: write fails half-way through.
  rlimit old_limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit = {.rlim_cur = 4096, .rlim_max = old_limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  std::string message;
  try {
    SafetensorsWriter writer(Path("a"), {.tensors = {{"x", SafetensorsDType::kU8, {8192}}}});
    writer.Write("x", std::vector<std::byte>(8192));
    writer.Commit();
  } catch (const Error& error) {
    message = error.what();
  }
  setrlimit(RLIMIT_FSIZE, &old_limit);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_NE(message.find(Path("a")), std::string::npos) << message;
  EXPECT_NE(message.find("File too large"), std::string::npos) << message;
  EXPECT_EQ(ReadFile(Path("a")), "old");
  EXPECT_EQ(NumEntries(), 1u);
}

TEST_F(SafetensorsWriterTest, RefusesAHeaderOverTheLimit) {
  const SafetensorsHeader header = {
      .tensors = {{std::string(kMaxSafetensorsHeaderBytes, 'x'), SafetensorsDType::kU8, {}}}};
  EXPECT_THROW(SafetensorsWriter(Path("a"), header), Error);
  EXPECT_EQ(NumEntries(), 0u);
}

using SafetensorsWriterDeathTest = SafetensorsWriterTest;

TEST_F(SafetensorsWriterDeathTest, ChecksItsCaller) {
  const SafetensorsHeader header = {
      .tensors = {{"a", SafetensorsDType::kU8, {2}}, {"b", SafetensorsDType::kU8, {2}}}};
  const std::vector<std::byte> two(2);
  const std::vector<std::byte> three(3);
  SafetensorsWriter writer(Path("a"), header);
  EXPECT_DEATH(writer.Write("b", two), "name == header_");
  EXPECT_DEATH(writer.Write("a", three), "data.size");
  writer.Write("a", two);
  EXPECT_DEATH(writer.Commit(), "current_ == ");
  EXPECT_DEATH(SafetensorsWriter(Path("b"), {.tensors = {{"\xff", SafetensorsDType::kU8, {}}}}),
               "FirstNonUtf8");
  const SafetensorsHeader twice = {.tensors = {header.tensors[0], header.tensors[0]}};
  EXPECT_DEATH(SafetensorsWriter(Path("b"), twice), "adjacent_find");
}

}  // namespace
}  // namespace sluice
