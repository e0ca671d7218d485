// Accesses of 16 bytes, the most that one instruction of a thread loads or stores: how many
// elements one takes, and where it may be made.  For code of the host and of the device.
#pragma once

#include <cstdint>

namespace sluice::cuda {

constexpr int kVectorBytes = 16;

// Elements of T in one 16-byte access.
template <typename T>
inline constexpr int kVectorSize = kVectorBytes / static_cast<int>(sizeof(T));

// Whether all of `pointers` can be read in 16-byte accesses.  Those of absent tensors can.
template <typename... Pointers>
bool AreVectorAligned(Pointers... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % kVectorBytes == 0) && ...);
}

// Elements that one access takes when all of `pointers` are rows of `row_size` elements of T, one
// after the other: a whole vector where every row starts at a 16-byte boundary, else 1.
template <typename T, typename... Pointers>
int VectorSizeFor(int64_t row_size, Pointers... pointers) {
  const bool is_aligned = row_size % kVectorSize<T> == 0 && AreVectorAligned(pointers...);
  return is_aligned ? kVectorSize<T> : 1;
}

}  // namespace sluice::cuda
