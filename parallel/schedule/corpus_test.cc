// Runs a fuzzer on the files of its corpus, the folder SLUICE_CORPUS.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

// Each file unchanged, and with each of its bytes replaced in turn.
TEST(Corpus, EveryCaseIsReadOrRefused) {
  int num_files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(SLUICE_CORPUS)) {
    SCOPED_TRACE(entry.path());
    std::ifstream in(entry.path(), std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(in), {}};
    const auto run = [&] {
      return LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    };
    EXPECT_EQ(run(), 0);
    for (char& place : text) {
      const char original = place;
      for (const char other : {'0', '1', '9', 'B', 'W', ',', ';', ' ', '\n', '\0'}) {
        place = other;
        EXPECT_EQ(run(), 0);
      }
      place = original;
    }
    ++num_files;
  }
  EXPECT_GE(num_files, 4);
}

}  // namespace
