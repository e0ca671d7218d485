// Counter-based random numbers: element i of a named stream is a pure function of (seed, name, i),
// so that every rank can make its own shard of a tensor and all ranks and schemes agree.
//
// Source: Philox4x32-10, Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace sluice {

class RandomStream {
 public:
  // A stream of its own per (seed, name).  The name is hashed with FNV-1a to 64 bits.
  RandomStream(uint64_t seed, std::string_view name);

  // Uniform in [-1, 1), 53 random bits.
  double Uniform(uint64_t element) const;

  // out[i] = Uniform(begin + i), bit for bit, several elements at a time.
  void FillUniform(uint64_t begin, std::span<double> out) const;

  // Standard normal, by the Box-Muller transform of two 53-bit uniforms of the same counter.
  double Normal(uint64_t element) const;

 private:
  uint64_t key_;
  uint64_t name_hash_;
};

}  // namespace sluice
