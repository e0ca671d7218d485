// The rows of //correctness/matrix: what one start of the processes proves, one row after another.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/backend/backend.h"
#include "parallel/exec/job_plan.h"

namespace sluice {

enum class RowKind {
  kParity,       // the results of a step are within their bounds
  kGraph,        // a captured step, replayed, gives the bits of the eager one
  kDroppedLayer  // the comparison fails where the last stage drops a layer
};

struct MatrixRow {
  std::string name;  // "seqpipe/p:2/bf16/projection", "seqpipe/p:2/bf16/graph"
  RowKind kind = RowKind::kParity;
  JobConfig config;
  // Proven only where everything is.
  bool is_optional = false;
};

// Every scheme and plan on `num_ranks` ranks, in every precision that the device has and with both
// losses; more than one sequence, stages and slices of unequal length where a scheme has any, and
// every product of two or three axes of size two.  The most telling rows come first.
//
// Not optional are, so that all fit into minutes where ranks share a GPU: with 2 ranks every split
// in every precision, with the other loss in the first two, and as a graph; with 4 every split in
// the first two precisions; with 8 and more the products of axes; with other numbers one split.
std::vector<MatrixRow> MatrixRows(int num_ranks, DeviceKind device);

}  // namespace sluice
