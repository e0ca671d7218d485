// What every Communicator must do, as cases that each implementation runs on its own ranks.
//
// A case is a function that all ranks of a group call.  It throws when the communicator did
// something wrong, with the rank's own account of it.  A disagreement is a case in which the ranks
// do not agree on purpose: the implementation must end all of them with a message that holds every
// given text.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "parallel/comm/communicator.h"

namespace sluice {

struct ConformanceCase {
  std::string_view name;
  void (*run)(Communicator& comm);
  // What is promised of the CPU only: the order of sums, NaN in a maximum.
  enum class Of : uint8_t { kAll, kCpu } of = Of::kAll;
};

std::span<const ConformanceCase> ConformanceCases();

// Needs two ranks or more: 0 and the last disagree.
struct DisagreementCase {
  std::string_view name;
  void (*run)(Communicator& comm);
  // Parts of the message; "{last}" stands for the last rank.
  std::vector<std::string_view> texts;
};

std::span<const DisagreementCase> DisagreementCases();

}  // namespace sluice
