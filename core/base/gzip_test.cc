#include "core/base/gzip.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdint>
#include <string>

namespace sluice {
namespace {

// The inverse, by zlib's own reader of gzip.
std::string Gunzip(std::string compressed, size_t max_size) {
  z_stream stream = {};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  std::string text(max_size, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(compressed.data());
  stream.avail_in = static_cast<uInt>(compressed.size());
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  text.resize(stream.total_out);
  inflateEnd(&stream);
  return text;
}

TEST(Gzip, IsUndoneByGunzip) {
  std::string long_text;
  for (int64_t i = 0; i < 500'000; ++i) long_text += std::to_string(i * 7919) + ",";
  for (const std::string& text : {std::string(), std::string("a"), long_text}) {
    EXPECT_EQ(Gunzip(Gzip(text), text.size() + 1), text);
  }
}

TEST(Gzip, MakesRepetitiveTextSmaller) {
  EXPECT_LT(Gzip(std::string(1'000'000, 'x')).size(), 2000u);
}

}  // namespace
}  // namespace sluice
