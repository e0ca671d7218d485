#include "core/base/rng.h"

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

}  // namespace

RandomStream::RandomStream(uint64_t seed, std::string_view name)
    : key_(seed), name_hash_(HashFnv1a(name)) {}

double RandomStream::Uniform(uint64_t element) const {
  const Block words = CounterBlock(element, name_hash_, key_);
  return 2 * ToUnit(words[0], words[1]) - 1;
}

double RandomStream::Normal(uint64_t element) const {
  const Block words = CounterBlock(element, name_hash_, key_);
  const double radius = std::sqrt(-2 * std::log(1 - ToUnit(words[0], words[1])));
  return radius * std::cos(2 * std::numbers::pi * ToUnit(words[2], words[3]));
}

}  // namespace sluice
