// What a rank communicates in one pass.
#pragma once

#include <cstdint>

namespace sluice {

// Messages or collectives, and the bytes of their payloads.
struct Traffic {
  int64_t count = 0;
  int64_t bytes = 0;

  void Add(int64_t payload_bytes) {
    ++count;
    bytes += payload_bytes;
  }
};

struct PassTraffic {
  Traffic sends;  // between stages
  // The payload of an all-reduce is the tensor, of a reduce-scatter its input, of an all-gather its
  // result.
  Traffic tensor_collectives;
  Traffic data_collectives;
};

}  // namespace sluice
