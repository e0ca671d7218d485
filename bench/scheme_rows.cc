#include "bench/scheme_rows.h"

#include "core/base/checked_math.h"
#include "parallel/schemes/schemes.h"

namespace sluice {
namespace {

constexpr int kNumSlices = 4;
constexpr int kNumChunks = 2;

SchemeRow RowOf(const Scheme& scheme, int num_ranks) {
  SchemeRow row = {.scheme = std::string(scheme.name)};
  if ((scheme.flags & kUsesRanks) == 0) return row;
  row.sizes.pipeline = num_ranks;
  if (scheme.flags & kUsesChunks) row.num_chunks = kNumChunks;
  if ((scheme.flags & kUsesSlices) == 0) {
    row.num_micro_batches = 2 * num_ranks;
    return row;
  }
  // Some schemes take whole groups of slices only.
  row.num_slices = static_cast<int>(RoundUp(kNumSlices, num_ranks));
  // The original has one micro-batch; the others are for several.
  row.num_micro_batches = scheme.name == "seqpipe" ? 1 : 2;
  return row;
}

}  // namespace

std::vector<SchemeRow> SchemeRows(int num_ranks) {
  std::vector<SchemeRow> rows;
  for (const Scheme& scheme : Schemes()) rows.push_back(RowOf(scheme, num_ranks));
  rows.push_back({.scheme = "megatron", .sizes = {.tensor = num_ranks}});
  return rows;
}

}  // namespace sluice
