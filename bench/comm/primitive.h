// A way of moving bytes between ranks, as the benchmarks of bench/comm time it: the call, the
// number of bytes that it moves, and the check of the result.
//
// Inputs are small integers in float32 (InputValue). Sums over any number of ranks in any order are
// therefore exact, and every element of an output is compared bit by bit.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/device/device.h"
#include "parallel/comm/communicator.h"

namespace sluice {

// A rank, and where its buffers lie.
struct ExchangeRank {
  Communicator& comm;  // of the device
  Device& device;
  Stream& stream;
};

// The calls of one rank for one size, with its buffers.
struct Exchange {
  // S in docs/metrics.md: at least the requested bytes, rounded up so that all ranks have equal
  // shares.
  int64_t size_bytes = 0;

  std::function<void()> fill;          // sets the inputs and spoils the outputs
  std::function<void()> run;           // the timed call, on all ranks; on a device it enqueues
  std::function<int64_t()> num_wrong;  // wrong elements in the output of this rank
};

struct Primitive {
  std::string name;  // "all_reduce"
  // Connects ranks that send: all call it.
  Exchange (*prepare)(const ExchangeRank& rank, int64_t min_bytes);

  // S per second times this factor is the minimum number of bytes per second on each rank's link
  // (docs/metrics.md). 0 for a primitive that moves no bytes.
  double (*bus_factor)(int world_size);

  // Successive transfers of S in one run; the time of a run is divided by it.
  int num_transfers = 1;

  // Whether a run moves the same bytes as one std::memcpy, and is compared with it.
  enum class Copies : uint8_t { kNo, kOneToOne } copies = Copies::kNo;
};

// Element `index` of the input of `rank`: an integer from 0 to 126, whose sum over 65536 ranks
// float32 still holds exactly.  It repeats with index every kInputPeriod elements, a prime, so that
// a shift by a power of two does not go unseen.
constexpr int kInputPeriod = 127;
float InputValue(int rank, int64_t index);

// Float32 elements in memory of a rank's device, which goes through the host a part at a time.
class Floats {
 public:
  Floats(const ExchangeRank& rank, int64_t count);

  float* data() const { return static_cast<float*>(buffer_.data()); }
  Payload payload() const { return {buffer_.data(), count_, DType::kFloat32}; }

  // Sets all elements: to those of `rank`'s input, or to one value.
  void FillInput(int rank);
  void Fill(float value);

  // How many elements i differ from expected(i).
  int64_t NumDifferent(const std::function<float(int64_t index)>& expected) const;

 private:
  Device* device_;
  int64_t count_;
  Buffer buffer_;
};

// Float32 elements that `min_bytes` need on each of `num_parts` equal parts; at least one.
int64_t PartCount(int64_t min_bytes, int num_parts);

}  // namespace sluice
