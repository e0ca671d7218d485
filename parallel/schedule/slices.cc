#include "parallel/schedule/slices.h"

#include <fmt/format.h>

#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "core/base/parse.h"

namespace sluice {

std::vector<Slice> UniformSlices(int64_t seq_len, int64_t num_slices) {
  if (num_slices < 1 || num_slices > seq_len) {
    throw Error(fmt::format("num_slices {} is not allowed with seq_len {}: it must be from 1 to {}",
                            num_slices, seq_len, seq_len));
  }
  std::vector<Slice> slices;
  int64_t begin = 0;
  for (int64_t i = 0; i < num_slices; ++i) {
    const int64_t len = seq_len / num_slices + (i < seq_len % num_slices ? 1 : 0);
    slices.push_back({begin, len});
    begin += len;
  }
  return slices;
}

std::vector<Slice> ParseSlices(std::string_view lens, int64_t seq_len) {
  std::vector<Slice> slices;
  int64_t begin = 0;
  for (const int64_t len : ParseIntegerList("slices", lens, {1, seq_len})) {
    slices.push_back({begin, len});
    begin = CheckedSum("slices", begin, len);
  }
  if (begin != seq_len) {
    throw Error(fmt::format("slices '{}' sum to {}, but seq_len is {}", lens, begin, seq_len));
  }
  return slices;
}

}  // namespace sluice
