// Runs that end badly on purpose.  What a person then sees, the first line, the exit code and the
// time, is judged from outside: tools/bundle/prove_nccl.
//
// Each prints JSON first: {"pid":1234} by every rank, {"expect":"rank 0 sends 10 f32"} for each
// text that the first line must hold.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "correctness/matrix/matrix_rows.h"
#include "correctness/matrix/rank_station.h"

namespace sluice {

// Those of conformance.h.
std::vector<std::string> DisagreementNames();

// Throws what the communicator does, or std::logic_error where it notices nothing.
void RunDisagreement(RankStation& station, std::string_view name);

// "kill", "stop", "exit".
std::vector<std::string> BreakNames();

struct BrokenRank {
  int rank = 0;
  std::string how;           // one of BreakNames
  bool is_captured = false;  // whether the steps are replays of a graph
};

// Steps of the row; before its fourth, one rank breaks, and the others wait for it in that step.
void RunBroken(RankStation& station, const MatrixRow& row, const BrokenRank& broken);

}  // namespace sluice
