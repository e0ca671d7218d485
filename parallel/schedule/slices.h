// How the sequence is divided into slices.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace sluice {

// Positions begin .. begin + len - 1 of the sequence. `begin` is also the slice's prefix_len: the
// cached positions that it attends to.
struct Slice {
  int64_t begin = 0;
  int64_t len = 0;

  bool operator==(const Slice&) const = default;
};

// Divides `seq_len` positions into `num_slices` slices whose lengths differ by at most one, the
// longer ones first. Throws Error unless 1 <= num_slices <= seq_len.
std::vector<Slice> UniformSlices(int64_t seq_len, int64_t num_slices);

// Divides `seq_len` positions into slices of the given lengths, such as "776,640,632". Throws Error
// unless each length is at least 1 and they sum to seq_len.
std::vector<Slice> ParseSlices(std::string_view lens, int64_t seq_len);

}  // namespace sluice
