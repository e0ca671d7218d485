#include "core/base/gzip.h"

#define ZLIB_CONST  // zlib then reads its input through a pointer to const
#include <zlib.h>

#include <algorithm>
#include <limits>

#include "core/base/check.h"

namespace sluice {

std::string Gzip(std::string_view text) {
  constexpr int kGzipWindowBits = 15 + 16;  // the largest window, with a gzip header
  constexpr int kMemoryLevel = 8;
  constexpr size_t kMaxBlock = std::numeric_limits<uInt>::max();
  z_stream stream = {};
  SLUICE_CHECK_EQ(deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipWindowBits,
                               kMemoryLevel, Z_DEFAULT_STRATEGY),
                  Z_OK);
  std::string compressed;
  int result = Z_OK;
  while (result != Z_STREAM_END) {
    if (stream.avail_in == 0) {
      const size_t size = std::min(text.size(), kMaxBlock);
      stream.next_in = reinterpret_cast<const Bytef*>(text.data());
      stream.avail_in = static_cast<uInt>(size);
      text.remove_prefix(size);
    }
    char block[1 << 16];
    stream.next_out = reinterpret_cast<Bytef*>(block);
    stream.avail_out = sizeof(block);
    result = deflate(&stream, text.empty() ? Z_FINISH : Z_NO_FLUSH);
    SLUICE_CHECK(result == Z_OK || result == Z_STREAM_END);
    compressed.append(block, sizeof(block) - stream.avail_out);
  }
  deflateEnd(&stream);
  return compressed;
}

}  // namespace sluice
