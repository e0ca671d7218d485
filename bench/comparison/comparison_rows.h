// The rows of the main job: every scheme on the same work, with the numbers that suit it.
#pragma once

#include <string>
#include <vector>

#include "bench/harness/scheme_benchmark.h"

namespace sluice {

struct ComparisonRow {
  SchemeBenchmark benchmark;
  // Other schemes whose schedule is the same, op for op, so that their rows would be this one. Only
  // in a forward pass.
  std::vector<std::string> same_schedule;
};

// A scheme that has no row, and why.
struct LeftOut {
  std::string scheme;
  std::string reason;
};

struct Comparison {
  std::vector<ComparisonRow> rows;
  std::vector<LeftOut> left_out;
};

// Numbers that were given for all schemes that use them; 0: chosen for each scheme.
struct GivenNumbers {
  int num_micro_batches = 0;
  int num_slices = 0;
  int num_chunks = 0;
};

// One row for each of `schemes` that can run this work; `jobs` are theirs, with the sizes along
// each axis. A scheme without slices gets as many micro-batches as the batch has sequences; a
// scheme with slices gets four, rounded up to a multiple of the pipeline's ranks, and two
// micro-batches, or one for seqpipe; an interleaved scheme gets two stages per rank.
Comparison CompareSchemes(const std::vector<Job>& jobs, const GivenNumbers& given,
                          const MeasureOptions& options);

}  // namespace sluice
