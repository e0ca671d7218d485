#include "core/checkpoint/safetensors_reader.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

std::string LengthField(uint64_t length) {
  std::string field(8, '\0');
  std::memcpy(field.data(), &length, 8);
  return field;
}

std::string FileOf(std::string_view header, std::string_view data = "") {
  return LengthField(header.size()) + std::string(header) + std::string(data);
}

// A header entry; the defaults are those of two bytes at the beginning of the data.
struct Entry {
  std::string_view name = "a";
  std::string_view dtype = "\"U8\"";
  std::string_view shape = "[2]";
  std::string_view offsets = "[0,2]";
};

std::string TextOf(const Entry& entry) {
  return fmt::format(R"("{}":{{"dtype":{},"shape":{},"data_offsets":{}}})", entry.name, entry.dtype,
                     entry.shape, entry.offsets);
}

std::string HeaderOf(const Entry& entry) { return "{" + TextOf(entry) + "}"; }

std::string HeaderOf(const Entry& first, const Entry& second) {
  return "{" + TextOf(first) + "," + TextOf(second) + "}";
}

class SafetensorsReaderTest : public ::testing::Test {
 protected:
  SafetensorsReaderTest() : folder_(fs::path(::testing::TempDir()) / "safetensors_reader") {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~SafetensorsReaderTest() override { fs::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ / name; }

  std::string Write(std::string_view bytes) const {
    const std::string path = Path("case.safetensors");
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }

  // The message must name the file, the rule, and (part of `rule`) the tensor.
  void ExpectRefused(std::string_view bytes, std::string_view rule) const {
    ExpectPathRefused(Write(bytes), rule);
  }

  static void ExpectPathRefused(const std::string& path, std::string_view rule) {
    try {
      const SafetensorsReader reader(path);
      ADD_FAILURE() << "accepted; expected: " << rule;
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find(path), std::string::npos) << message;
      EXPECT_NE(message.find(rule), std::string::npos) << message << "\nexpected: " << rule;
    }
  }

  static std::string ReadText(const SafetensorsReader& reader, std::string_view name) {
    std::string text(static_cast<size_t>(SizeBytes(*reader.Find(name))), '?');
    reader.Read(name, std::as_writable_bytes(std::span(text)));
    return text;
  }

  fs::path folder_;
};

TEST_F(SafetensorsReaderTest, ReadsTensorsRowsAndMetadata) {
  const SafetensorsReader reader(
      Write(FileOf(R"({"__metadata__":{"model":"test","é":"\n"},"z":)"
                   R"({"dtype":"U16","shape":[3,1],"data_offsets":[1,7]},)"
                   R"("a":{"shape":[],"data_offsets":[0,1],"dtype":"BOOL"}}   )",
                   "!112233")));
  ASSERT_EQ(reader.tensors().size(), 2u);
  EXPECT_EQ(reader.tensors()[0], (SafetensorsTensor{"a", SafetensorsDType::kBool, {}}));
  EXPECT_EQ(reader.tensors()[1], (SafetensorsTensor{"z", SafetensorsDType::kU16, {3, 1}}));
  EXPECT_EQ(reader.metadata(), (SafetensorsMetadata{{"model", "test"}, {"é", "\n"}}));
  EXPECT_EQ(reader.Find("b"), nullptr);
  EXPECT_EQ(ReadText(reader, "a"), "!");
  EXPECT_EQ(ReadText(reader, "z"), "112233");
  std::string rows(4, '?');
  reader.ReadRows("z", {1, 3}, std::as_writable_bytes(std::span(rows)));
  EXPECT_EQ(rows, "2233");
  EXPECT_THROW(reader.Read("b", {}), Error);
  EXPECT_THROW(reader.ReadRows("b", {0, 0}, {}), Error);
}

TEST_F(SafetensorsReaderTest, AcceptsEveryDType) {
  const std::vector<std::pair<std::string, int>> bytes_of_four = {
      {"BOOL", 4},        {"F4", 2},      {"F6_E2M3", 3}, {"F6_E3M2", 3}, {"U8", 4},
      {"I8", 4},          {"F8_E5M2", 4}, {"F8_E4M3", 4}, {"F8_E8M0", 4}, {"F8_E5M2FNUZ", 4},
      {"F8_E4M3FNUZ", 4}, {"I16", 8},     {"U16", 8},     {"F16", 8},     {"BF16", 8},
      {"I32", 16},        {"U32", 16},    {"F32", 16},    {"C64", 32},    {"F64", 32},
      {"I64", 32},        {"U64", 32},
  };
  for (const auto& [name, bytes] : bytes_of_four) {
    const SafetensorsReader reader(Write(FileOf(HeaderOf({.dtype = fmt::format("\"{}\"", name),
                                                          .shape = "[2,2]",
                                                          .offsets = fmt::format("[0,{}]", bytes)}),
                                                std::string(static_cast<size_t>(bytes), 'x'))));
    EXPECT_EQ(Name(reader.tensors()[0].dtype), name);
    EXPECT_EQ(SizeBytes(reader.tensors()[0]), bytes);
  }
}

TEST_F(SafetensorsReaderTest, AcceptsNoTensorsAndNoElements) {
  EXPECT_TRUE(SafetensorsReader(Write(FileOf("{}"))).tensors().empty());
  const SafetensorsReader reader(Write(
      FileOf(HeaderOf({.name = "b"}, {.name = "a", .shape = "[4,0]", .offsets = "[2,2]"}), "xy")));
  EXPECT_EQ(ReadText(reader, "a"), "");
  EXPECT_EQ(ReadText(reader, "b"), "xy");
}

TEST_F(SafetensorsReaderTest, RefusesBadLengths) {
  ExpectRefused("", "it has 0 bytes, too few for the 8");
  ExpectRefused("1234567", "it has 7 bytes, too few for the 8");
  ExpectRefused(LengthField(0) + "{}", "the header length is 0");
  ExpectRefused(LengthField(3) + "{}", "the header length 3 is over the 2 bytes that follow it");
  ExpectRefused(LengthField(std::numeric_limits<uint64_t>::max()) + "{}",
                "the header length 18446744073709551615 is over the limit of 100000000");
  const std::string path = Write(LengthField(100'000'001) + "{}");
  fs::resize_file(path, 100'000'100);
  ExpectPathRefused(path, "the header length 100000001 is over the limit of 100000000");
}

TEST_F(SafetensorsReaderTest, RefusesWhatIsNotAJsonObject) {
  ExpectRefused(FileOf("{\"\xff\":1}"), "the header is not UTF-8 at its byte 2");
  ExpectRefused(FileOf("{\"\xed\xa0\x80\":1}"), "the header is not UTF-8 at its byte 2");
  ExpectRefused(FileOf("{\"\xc0\x80\":1}"), "the header is not UTF-8 at its byte 2");
  ExpectRefused(FileOf("{\"\xf4\x90\x80\x80\":1}"), "the header is not UTF-8 at its byte 2");
  ExpectRefused(FileOf("{\"a\xe2\x82"), "the header is not UTF-8 at its byte 3");
  ExpectRefused(FileOf("{\"a\":"), "the header is not JSON");
  ExpectRefused(FileOf("{'a':1}"), "the header is not JSON: syntax error at its byte 2");
  ExpectRefused(FileOf("{\"\\ud800\":{}}"), "the header is not JSON");
  ExpectRefused(FileOf("[{}]"), "begins with '['");
  ExpectRefused(FileOf(" {}"), "begins with ' '");
  ExpectRefused(FileOf("\xef\xbb\xbf{}"), "begins with '\\xef'");
  ExpectRefused(FileOf("{} {}"), "the header is not JSON: syntax error at its byte 4");
  ExpectRefused(FileOf("{}x"), "the header is not JSON");
  ExpectRefused(FileOf(std::string_view("{}\0garbage", 10)), "NUL at its byte 2");
  ExpectRefused(FileOf("{\"a\":1e400}"), "the header is not JSON");
}

TEST_F(SafetensorsReaderTest, RefusesBadMetadata) {
  ExpectRefused(FileOf(R"({"__metadata__":{"k":1}})"),
                "__metadata__ 'k' is 1; it must be a string");
  ExpectRefused(FileOf(R"({"__metadata__":{"k":{}}})"), "__metadata__ 'k' is an object");
  ExpectRefused(FileOf(R"({"__metadata__":{"k":null}})"), "__metadata__ 'k' is null");
  ExpectRefused(FileOf(R"({"__metadata__":[]})"), "__metadata__ is an array");
  ExpectRefused(FileOf(R"({"__metadata__":{"k":"","k":""}})"), "__metadata__ names 'k' twice");
  ExpectRefused(FileOf(R"({"__metadata__":{},"__metadata__":{}})"), "__metadata__ is there twice");
}

TEST_F(SafetensorsReaderTest, RefusesBadTensors) {
  ExpectRefused(FileOf(R"({"a":3})"), "tensor 'a': it is 3; it must be an object");
  ExpectRefused(FileOf(R"({"a":"x"})"), "tensor 'a': it is the string 'x'");
  ExpectRefused(FileOf(R"({"a":{}})"), "tensor 'a': dtype is missing");
  ExpectRefused(FileOf(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})"),
                "tensor 'a': shape is missing");
  ExpectRefused(FileOf(R"({"a":{"dtype":"U8","shape":[]}})"),
                "tensor 'a': data_offsets is missing");
  ExpectRefused(FileOf(R"({"a":{"dtype":"U8","dtype":"U8"}})"), "tensor 'a': dtype is given twice");
  ExpectRefused(FileOf(R"({"a":{"shape":[],"shape":[]}})"), "tensor 'a': shape is given twice");
  ExpectRefused(FileOf(R"({"a":{"device":"cpu"}})"), "tensor 'a': unknown field 'device'");
  ExpectRefused(FileOf(HeaderOf(Entry{}, Entry{.offsets = "[2,4]"}), "1234"),
                "tensor 'a': the name is there twice");
}

TEST_F(SafetensorsReaderTest, RefusesBadDTypesAndShapes) {
  ExpectRefused(FileOf(HeaderOf({.dtype = "\"F33\""}), "12"), "tensor 'a': unknown dtype 'F33'");
  ExpectRefused(FileOf(HeaderOf({.dtype = "8"}), "12"), "tensor 'a': dtype is 8");
  ExpectRefused(FileOf(HeaderOf({.dtype = "[]"}), "12"), "tensor 'a': dtype is an array");
  ExpectRefused(FileOf(HeaderOf({.shape = "2"}), "12"), "tensor 'a': shape is 2");
  ExpectRefused(FileOf(HeaderOf({.shape = "[-2]"}), "12"), "tensor 'a': shape holds -2");
  ExpectRefused(FileOf(HeaderOf({.shape = "[2.0]"}), "12"), "tensor 'a': shape holds 2.0");
  ExpectRefused(FileOf(HeaderOf({.shape = "[true]"}), "12"), "tensor 'a': shape holds true");
  ExpectRefused(FileOf(HeaderOf({.shape = "[[2]]"}), "12"), "tensor 'a': shape holds an array");
  ExpectRefused(FileOf(HeaderOf({.shape = "[9223372036854775808]"}), "12"),
                "tensor 'a': shape holds 9223372036854775808");
  ExpectRefused(FileOf(HeaderOf({.shape = "[18446744073709551616]"}), "12"),
                "tensor 'a': shape holds 18446744073709551616");
  ExpectRefused(FileOf(HeaderOf({.shape = "[4294967296,4294967296]"}), "12"),
                "tensor 'a': the size of U8 x [4294967296, 4294967296] overflows");
  ExpectRefused(FileOf(HeaderOf({.dtype = "\"F4\"", .shape = "[3]"}), "12"),
                "tensor 'a': the size of F4 x [3] is no whole number of bytes");
  std::string ones = "[1";
  for (int i = 1; i < 65; ++i) ones += ",1";
  ExpectRefused(FileOf(HeaderOf({.shape = ones + "]"}), "12"),
                "tensor 'a': shape has over 64 numbers");
}

TEST_F(SafetensorsReaderTest, RefusesBadOffsets) {
  ExpectRefused(FileOf(HeaderOf({.offsets = "[0]"}), "12"),
                "tensor 'a': data_offsets has 1 numbers");
  ExpectRefused(FileOf(HeaderOf({.offsets = "[0,1,2]"}), "12"),
                "tensor 'a': data_offsets has 3 numbers");
  ExpectRefused(FileOf(HeaderOf({.offsets = "[-1,1]"}), "12"), "tensor 'a': data_offsets holds -1");
  ExpectRefused(FileOf(HeaderOf({.offsets = "[2,0]"}), "12"),
                "tensor 'a': data_offsets [2, 0] end before they begin");
  ExpectRefused(FileOf(HeaderOf({.offsets = "[0,1]"}), "1"),
                "tensor 'a': data_offsets [0, 1] hold 1 bytes, but U8 x [2] are 2");
  ExpectRefused(FileOf(HeaderOf({.offsets = "[1,3]"}), "123"),
                "tensor 'a': it is the first and begins at byte 1, not 0");
}

TEST_F(SafetensorsReaderTest, RefusesBadLayouts) {
  ExpectRefused(FileOf(HeaderOf(Entry{}, {.name = "b", .offsets = "[1,3]"}), "123"),
                "tensor 'b': its data begins at byte 1, inside that of 'a', which ends at 2");
  ExpectRefused(FileOf(HeaderOf(Entry{}, {.name = "b", .offsets = "[0,2]"}), "12"),
                "its data begins at byte 0, inside that of");
  ExpectRefused(FileOf(HeaderOf(Entry{}, {.name = "b", .offsets = "[3,5]"}), "12345"),
                "tensor 'b': bytes 2 to 3 before it belong to no tensor");
  ExpectRefused(FileOf(HeaderOf(Entry{}), "123"), "1 trailing bytes after the data of tensor 'a'");
  ExpectRefused(FileOf("{}", "123"), "3 trailing bytes after the data of no tensors");
  ExpectRefused(FileOf(HeaderOf(Entry{}), "1"),
                "tensor 'a': its data ends at byte 2, but the file is truncated: it has 1 bytes");
}

TEST_F(SafetensorsReaderTest, MessagesStayOneShortLine) {
  const std::string name = "\\n" + std::string(5000, 'x');
  const std::string path = Write(FileOf("{\"" + name + "\":1}"));
  try {
    const SafetensorsReader reader(path);
    FAIL();
  } catch (const Error& error) {
    EXPECT_LT(std::strlen(error.what()), 250 + path.size());
    EXPECT_EQ(std::strchr(error.what(), '\n'), nullptr);
  }
}

TEST_F(SafetensorsReaderTest, RefusesDeepNestingAtItsFirstLevel) {
  constexpr size_t kDepth = 40'000'000;
  ExpectRefused(FileOf("{\"a\":{\"shape\":" + std::string(kDepth, '[')),
                "tensor 'a': shape holds an array");
  ExpectRefused(FileOf(std::string(kDepth, '[')), "begins with '['");
  std::string objects;
  for (int i = 0; i < 1'000'000; ++i) objects += "{\"a\":";
  ExpectRefused(FileOf(objects), "tensor 'a': unknown field 'a'");
}

TEST_F(SafetensorsReaderTest, ReadsAMillionTensors) {
  constexpr int64_t kNumTensors = 1'000'000;
  std::string header = "{";
  for (int64_t i = 0; i < kNumTensors; ++i) {
    fmt::format_to(std::back_inserter(header),
                   R"("t{}":{{"dtype":"U8","shape":[1],"data_offsets":[{},{}]}},)", i, i, i + 1);
  }
  header.back() = '}';
  std::string data(kNumTensors, '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i % 251);
  const SafetensorsReader reader(Write(FileOf(header, data)));
  EXPECT_EQ(reader.tensors().size(), static_cast<size_t>(kNumTensors));
  for (const int64_t i : {int64_t{0}, int64_t{123456}, kNumTensors - 1}) {
    std::byte value{};
    reader.Read("t" + std::to_string(i), std::span(&value, 1));
    EXPECT_EQ(static_cast<int64_t>(value), i % 251);
  }
}

TEST_F(SafetensorsReaderTest, RefusesWhatIsNoRegularFileWithoutWaiting) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  ExpectPathRefused(Path("fifo"), "it is a FIFO");
  ExpectPathRefused(folder_, "it is a folder");
  ExpectPathRefused("/dev/zero", "it is a device");
  ExpectPathRefused(Path("missing"), "No such file");
}

TEST_F(SafetensorsReaderTest, SaysWhenTheFileIsTruncatedWhileItIsRead) {
  const std::string path = Write(FileOf(HeaderOf(Entry{}), "12"));
  const SafetensorsReader reader(path);
  fs::resize_file(path, fs::file_size(path) - 1);
  std::array<std::byte, 2> out = {};
  try {
    reader.Read("a", out);
    FAIL();
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find(path), std::string::npos) << message;
    EXPECT_NE(message.find("tensor 'a'"), std::string::npos) << message;
    EXPECT_NE(message.find("1 bytes early"), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace sluice
