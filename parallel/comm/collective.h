// What ranks must agree on when they call a collective, and how a disagreement reads.
#pragma once

#include <cstdint>
#include <string>

#include "parallel/comm/communicator.h"

namespace sluice {

// Sent as bytes between processes of one build.
struct CollectiveCall {
  CommOp op = CommOp::kNone;
  ElementType::Kind type = ElementType::Kind::kByte;
  ReduceOp reduce = ReduceOp::kSum;
  int32_t root = 0;
  int64_t count = 0;

  bool operator==(const CollectiveCall&) const = default;
  int64_t size_bytes() const { return count * ElementType(type).size_bytes(); }
};

// "AllReduce(count 12, f32, sum)".
std::string Describe(const CollectiveCall& call);

// One rank's side of something that must agree.
struct Side {
  int rank;  // in the world
  std::string what;
};

// "ranks disagree: rank 0 calls AllReduce(...), rank 1 calls AllReduce(...) <position>".
std::string DescribeDisagreement(const Side& a, const Side& b, const std::string& position);

// One rank's side of a message: "sends 12 f32 with tag 3 to rank 1".
std::string DescribeMessage(Direction direction, int64_t count, ElementType type, int tag,
                            int global_peer);

}  // namespace sluice
