// The record of a scheme, and the input of its builder.
//
// To add one: write the order of its ops in a file of its own, and add its row to scheme_table.inc.
#pragma once

#include <string_view>
#include <vector>

#include "parallel/schedule/schedule.h"

namespace sluice {

// The sizes of a schedule, all at least 1.
struct ScheduleShape {
  int num_ranks = 1;  // pipeline ranks
  int num_micro_batches = 1;
  int num_slices = 1;
  int num_chunks = 1;  // stages per rank
  Pass pass = Pass::kStep;
};

// Which rank holds which stage. With p ranks:
enum class Placement {
  kLoop,  // stage s is on rank s mod p: chunk c of rank r is stage c p + r
  kV,     // two chunks: stages p .. 2p-1 come back, chunk 1 of rank r is stage 2p-1-r
};

// The published idle time of a step, the makespan minus a rank's work, with p ranks and units of
// equal cost (slices and stages) without communication. F, B and W are a rank's forward, input
// gradient and weight gradient of one unit. FormulaIdleTime (formulas.h) evaluates it.
enum class IdleFormula {
  kNone,           // what is published is a bound, or the idle time between a rank's own ops
  kWhole,          // (p-1) (F + B + W)
  kSplit,          // (p-1) (F + B - W)
  kSplitBalanced,  // the same, if F = B
};

struct Scheme {
  std::string_view name;
  std::string_view description;  // one line, for --help
  Placement placement;
  unsigned shape_fields;  // the ShapeField values that it uses; the other fields must be 1
  IdleFormula idle_formula;

  // Returns the compute ops of a whole step on `rank` in their order. Throws Error where the scheme
  // does not allow `shape`, whichever the rank.
  std::vector<Op> (*build)(const ScheduleShape& shape, int rank);
};

// The fields of ScheduleShape that a scheme may use.
enum ShapeField : unsigned {
  kUsesRanks = 1,
  kUsesMicroBatches = 2,
  kUsesSlices = 4,
  kUsesChunks = 8,
};

// A stage as a chunk of its rank, such as "chunk 1 of rank 2".
struct ChunkOfRank {
  int rank = 0;
  int chunk = 0;
};

// The stage of `where` under Placement::kLoop, and under Placement::kV.
int LoopStage(const ScheduleShape& shape, const ChunkOfRank& where);
int VStage(const ScheduleShape& shape, const ChunkOfRank& where);

// The order of all 1F1B schemes: `num_warmup` forwards (or all of them, if there are fewer), then
// forwards and backwards alternately until one kind has run out, then the rest of the other kind.
std::vector<Op> OneForwardOneBackward(const std::vector<Unit>& forwards,
                                      const std::vector<Unit>& backwards, int num_warmup);

// Splits each whole backward of `ops` into BackwardInput and BackwardWeight. Of the latter, the
// oldest follows a BackwardInput once more than `num_deferred` of them are waiting; the rest come
// at the end.
std::vector<Op> SplitBackwards(const std::vector<Op>& ops, int num_deferred);

}  // namespace sluice
