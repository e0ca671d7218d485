// A communicator that does one thing wrong: a mutant for the tests of the parity tests.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "parallel/comm/communicator.h"

namespace sluice {

enum class CommFault {
  kSkippedAllReduce,      // each rank keeps its own part
  kSkippedAllGather,      // rows of others stay what they were
  kSkippedReduceScatter,  // each rank keeps its own part
  kStaleReceive,          // what was received is not put where it belongs
};

// The groups that an executor splits its world into, in that order.
enum class FaultyGroup { kPipeline, kTensor, kData };

struct FaultyCall {
  CommFault fault = CommFault::kSkippedAllReduce;
  FaultyGroup group = FaultyGroup::kPipeline;
  int64_t index = 0;  // which of the group's calls of that kind, counted while `is_armed`
};

// Passes everything on to `inner`, but for one call on each rank of each group of the kind.  Split
// makes communicators that do the same.  `is_armed` must outlive it.
std::unique_ptr<Communicator> MakeFaulty(Communicator& inner, const FaultyCall& call,
                                         const std::atomic<bool>& is_armed);

}  // namespace sluice
