#include "parallel/schedule/schedule_properties.h"

#include <vector>

#include "core/base/check.h"
#include "parallel/schedule/communication.h"
#include "parallel/schedule/find_error.h"
#include "parallel/schedule/schedule_text.h"
#include "parallel/schedule/simulate.h"

namespace sluice {
namespace {

constexpr int kMaxNumUnitsChecked = 1000;

// Whether `schedule` is free of errors under `model`. If so, checks that it runs to its end.
bool IsSound(const Schedule& schedule, const ExecutionModel& model) {
  if (FindError(schedule, model)) return false;
  const Simulation simulation =
      Simulate(schedule, {.compute_s = [](const Op&) { return 1.0; }}, model);
  SLUICE_CHECK_GE(simulation.makespan_s, 1);
  SLUICE_CHECK_GE(simulation.bubble_fraction, 0);
  return true;
}

// A schedule that runs if each op waits for the previous one also runs if fewer ops wait.
void CheckModels(const Schedule& schedule) {
  constexpr auto kRendezvous = SendSemantics::kRendezvous;
  constexpr auto kBuffered = SendSemantics::kBuffered;
  const bool is_sound = IsSound(schedule, {kRendezvous, QueueSemantics::kPerChannel});
  const bool is_sound_buffered = IsSound(schedule, {kBuffered, QueueSemantics::kPerChannel});
  SLUICE_CHECK_EQ(is_sound, is_sound_buffered);
  if (IsSound(schedule, {kRendezvous, QueueSemantics::kSingle})) SLUICE_CHECK(is_sound);
  if (IsSound(schedule, {kBuffered, QueueSemantics::kSingle})) SLUICE_CHECK(is_sound);
  if (is_sound) SLUICE_CHECK_EQ(FindError(ForwardOf(schedule)).value_or(""), "");
}

// If the compute ops of `schedule` alone are free of errors, so they are with communication.
void CheckComputeOps(Schedule schedule) {
  for (std::vector<Op>& ops : schedule.ops_of_rank) {
    std::erase_if(ops, [&](const Op& op) { return !IsCompute(op.kind); });
  }
  if (!FindComputeError(schedule)) SLUICE_CHECK(IsSound(AddCommunication(schedule), {}));
}

// Adds communication to the compute ops of `schedule` that are on the rank of their stage.
void CheckWithCommunication(Schedule schedule) {
  for (int rank = 0; rank < schedule.num_ranks; ++rank) {
    std::erase_if(schedule.ops_of_rank[rank], [&](const Op& op) {
      return !IsCompute(op.kind) || schedule.rank_of_stage[op.unit.stage] != rank;
    });
  }
  CheckModels(AddCommunication(schedule));
}

}  // namespace

void CheckScheduleProperties(const Schedule& schedule) {
  SLUICE_CHECK(ParseSchedule(FormatSchedule(schedule)) == schedule);
  if (NumUnits(schedule) > kMaxNumUnitsChecked) return;
  CheckModels(schedule);
  CheckComputeOps(schedule);
  CheckWithCommunication(schedule);
}

}  // namespace sluice
