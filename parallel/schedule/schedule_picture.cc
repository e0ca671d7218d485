#include "parallel/schedule/schedule_picture.h"

#include <fmt/format.h>

#include <cmath>

#include "parallel/schedule/simulate.h"

namespace sluice {
namespace {

double Columns(const Op& compute) { return compute.kind == OpKind::kBackward ? 2 : 1; }

char CharacterOf(const Op& compute, int unit) {
  switch (compute.kind) {
    case OpKind::kForward:
      return static_cast<char>('0' + unit % 10);
    case OpKind::kBackwardWeight:
      return static_cast<char>('a' + unit % 26);
    default:
      return static_cast<char>('A' + unit % 26);
  }
}

}  // namespace

std::string SchedulePicture(const Schedule& schedule) {
  const Simulation simulation = Simulate(schedule, {.compute_s = Columns});
  const auto num_columns = static_cast<size_t>(std::llround(simulation.makespan_s));
  const size_t rank_width = std::to_string(schedule.num_ranks - 1).size();
  std::string picture;
  for (int rank = 0; rank < schedule.num_ranks; ++rank) {
    std::string columns(num_columns, '.');
    const std::vector<Op>& ops = schedule.ops_of_rank[rank];
    for (size_t i = 0; i < ops.size(); ++i) {
      if (!IsCompute(ops[i].kind)) continue;
      const int unit = ops[i].unit.micro_batch * schedule.num_slices + ops[i].unit.slice;
      const OpTime& time = simulation.op_times[rank][i];
      for (long column = std::lround(time.start_s); column < std::lround(time.end_s); ++column) {
        columns[static_cast<size_t>(column)] = CharacterOf(ops[i], unit);
      }
    }
    picture += fmt::format("rank {:<{}}  {}\n", rank, rank_width, columns);
  }
  return picture;
}

}  // namespace sluice
