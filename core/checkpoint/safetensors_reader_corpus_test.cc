#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

TEST(SafetensorsReaderCorpus, EveryCaseIsReadOrRefused) {
  int num_cases = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator("core/checkpoint/testdata/safetensors_corpus")) {
    SCOPED_TRACE(entry.path());
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    EXPECT_EQ(LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()),
              0);
    ++num_cases;
  }
  EXPECT_GE(num_cases, 20);
}

}  // namespace
