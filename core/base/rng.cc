#include "core/base/rng.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace sluice {
namespace {

using Block = std::array<uint32_t, 4>;

uint64_t HashFnv1a(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3u;
  }
  return hash;
}

Block Philox4x32(Block counter, uint64_t key) {
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ k0, static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return counter;
}

Block CounterBlock(uint64_t element, uint64_t name_hash, uint64_t key) {
  return Philox4x32({static_cast<uint32_t>(element), static_cast<uint32_t>(element >> 32),
                     static_cast<uint32_t>(name_hash), static_cast<uint32_t>(name_hash >> 32)},
                    key);
}

// 53 bits of two words, in [0, 1).
double ToUnit(uint32_t low, uint32_t high) {
  const uint64_t bits = (uint64_t{high} << 32 | low) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

// Many counters at once, one lane each: the same function as Philox4x32 and Uniform, laid out so
// that the compiler vectorises every loop.
constexpr size_t kLanes = 64;
using Lanes = std::array<uint32_t, kLanes>;

void UniformLanes(uint64_t begin, uint64_t name_hash, uint64_t key, double* out) {
  Lanes c0, c1, c2, c3;
  for (size_t i = 0; i < kLanes; ++i) {
    const uint64_t element = begin + i;
    c0[i] = static_cast<uint32_t>(element);
    c1[i] = static_cast<uint32_t>(element >> 32);
  }
  c2.fill(static_cast<uint32_t>(name_hash));
  c3.fill(static_cast<uint32_t>(name_hash >> 32));
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    for (size_t i = 0; i < kLanes; ++i) {
      const uint64_t p0 = uint64_t{0xD2511F53u} * c0[i];
      const uint64_t p1 = uint64_t{0xCD9E8D57u} * c2[i];
      c0[i] = static_cast<uint32_t>(p1 >> 32) ^ c1[i] ^ k0;
      c1[i] = static_cast<uint32_t>(p1);
      c2[i] = static_cast<uint32_t>(p0 >> 32) ^ c3[i] ^ k1;
      c3[i] = static_cast<uint32_t>(p0);
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  // 2 * ToUnit - 1 in signed 32-bit pieces, which vector units convert; every step is exact.
  for (size_t i = 0; i < kLanes; ++i) {
    const auto high = static_cast<int32_t>(c1[i] ^ 0x80000000u);
    const auto low = static_cast<int32_t>(c0[i] >> 11);
    out[i] = static_cast<double>(high) * 0x1p-31 + static_cast<double>(low) * 0x1p-52;
  }
}

}  // namespace

RandomStream::RandomStream(uint64_t seed, std::string_view name)
    : key_(seed), name_hash_(HashFnv1a(name)) {}

double RandomStream::Uniform(uint64_t element) const {
  const Block words = CounterBlock(element, name_hash_, key_);
  return 2 * ToUnit(words[0], words[1]) - 1;
}

void RandomStream::FillUniform(uint64_t begin, std::span<double> out) const {
  std::array<double, kLanes> lanes;
  for (size_t i = 0; i < out.size(); i += kLanes) {
    const size_t count = std::min(kLanes, out.size() - i);
    UniformLanes(begin + i, name_hash_, key_, lanes.data());
    std::copy_n(lanes.begin(), count, out.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

double RandomStream::Normal(uint64_t element) const {
  const Block words = CounterBlock(element, name_hash_, key_);
  const double radius = std::sqrt(-2 * std::log(1 - ToUnit(words[0], words[1])));
  return radius * std::cos(2 * std::numbers::pi * ToUnit(words[2], words[3]));
}

}  // namespace sluice
