// One way of moving bytes between ranks, as the benchmarks of bench/comm see it: what to call, how
// many bytes that moves, and how to tell whether they arrived.
//
// Inputs are small integers in float32 (InputValue), so that sums over any number of ranks, in any
// order, are exact and every element of an output can be demanded to the last bit.
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

// What one rank does for one size, with its buffers.
struct Exchange {
  // S of docs/metrics.md: at least the bytes asked for, and such that all ranks have equal shares.
  int64_t size_bytes = 0;

  std::function<void()> fill;          // inputs are set and outputs spoiled
  std::function<void()> run;           // what is timed: all ranks call it; on a device it enqueues
  std::function<int64_t()> num_wrong;  // elements of this rank's output that are not exact
};

struct Primitive {
  std::string name;  // "all_reduce"
  // Connects ranks that send: all call it.
  Exchange (*prepare)(const ExchangeRank& rank, int64_t min_bytes);

  // What bytes per second of S are multiplied with to give the bytes per second that each rank's
  // link carries at least (docs/metrics.md).  0 for what moves no bytes.
  double (*bus_factor)(int world_size);

  // Transfers of S, one after the other, in one run: a run's time is divided by it.
  int num_transfers = 1;

  // Whether a run is what one std::memcpy does, and is held against it.
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
