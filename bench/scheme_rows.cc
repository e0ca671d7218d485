#include "bench/scheme_rows.h"

#include "core/base/checked_math.h"
#include "programs/scheme_choices.h"

namespace sluice {
namespace {

constexpr int kNumSlices = 4;
constexpr int kNumChunks = 2;

SchemeRow RowOf(const SchemeChoice& choice, int num_ranks) {
  const Scheme& scheme = *choice.scheme;
  SchemeRow row = {.scheme = choice.name};
  if (choice.own_axis != nullptr) row.sizes.*choice.own_axis = num_ranks;
  if ((scheme.shape_fields & kUsesRanks) == 0) return row;
  if (scheme.shape_fields & kUsesChunks) row.num_chunks = kNumChunks;
  if ((scheme.shape_fields & kUsesSlices) == 0) {
    row.num_micro_batches = 2 * num_ranks;
    return row;
  }
  // Some schemes need a multiple of num_ranks.
  row.num_slices = static_cast<int>(RoundUp(kNumSlices, num_ranks));
  // TeraPipe has one micro-batch; the other schemes are for several.
  row.num_micro_batches = scheme.name == "seqpipe" ? 1 : 2;
  return row;
}

}  // namespace

std::vector<SchemeRow> SchemeRows(int num_ranks) {
  std::vector<SchemeRow> rows;
  for (const SchemeChoice& choice : SchemeChoices()) rows.push_back(RowOf(choice, num_ranks));
  return rows;
}

}  // namespace sluice
