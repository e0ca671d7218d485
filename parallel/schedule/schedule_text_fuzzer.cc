// libFuzzer target: any bytes are a schedule's text. It is either refused with an Error, or printed
// as it was read and then judged, and run where it is sound, without a check failing.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "parallel/schedule/communication.h"
#include "parallel/schedule/find_error.h"
#include "parallel/schedule/schedule_text.h"
#include "parallel/schedule/simulate.h"

namespace sluice {
namespace {

constexpr int kMaxNumUnitsJudged = 1000;

// Whether `schedule` is free of errors under `model`. If so, it also runs to its end.
bool IsSound(const Schedule& schedule, const ExecutionModel& model) {
  if (FindError(schedule, model)) return false;
  const Simulation simulation =
      Simulate(schedule, {.compute_s = [](const Op&) { return 1.0; }}, model);
  SLUICE_CHECK_GE(simulation.makespan_s, 1);
  SLUICE_CHECK_GE(simulation.bubble_fraction, 0);
  return true;
}

// A schedule that runs when each op waits for the one before also runs when fewer do.
void Judge(const Schedule& schedule) {
  constexpr auto kRendezvous = SendSemantics::kRendezvous;
  constexpr auto kBuffered = SendSemantics::kBuffered;
  const bool is_sound = IsSound(schedule, {kRendezvous, QueueSemantics::kPerChannel});
  const bool is_sound_buffered = IsSound(schedule, {kBuffered, QueueSemantics::kPerChannel});
  SLUICE_CHECK_EQ(is_sound, is_sound_buffered);
  if (IsSound(schedule, {kRendezvous, QueueSemantics::kSingle})) SLUICE_CHECK(is_sound);
  if (IsSound(schedule, {kBuffered, QueueSemantics::kSingle})) SLUICE_CHECK(is_sound);
}

// The compute ops of `schedule` as an author's lists: sound ones are also sound with communication.
void JudgeCompute(Schedule schedule) {
  for (std::vector<Op>& ops : schedule.ops_of_rank) {
    std::erase_if(ops, [&](const Op& op) { return !IsCompute(op.kind); });
  }
  if (!FindComputeError(schedule)) SLUICE_CHECK(IsSound(AddCommunication(schedule), {}));
}

// Lowers the compute ops of `schedule`, if they are where they belong.
void JudgeLowered(Schedule schedule) {
  for (int rank = 0; rank < schedule.num_ranks; ++rank) {
    std::erase_if(schedule.ops_of_rank[rank], [&](const Op& op) {
      return !IsCompute(op.kind) || schedule.rank_of_stage[op.unit.stage] != rank;
    });
  }
  Judge(AddCommunication(schedule));
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  sluice::Schedule schedule;
  try {
    schedule = sluice::ParseSchedule(text);
  } catch (const sluice::Error&) {
    return 0;
  }
  SLUICE_CHECK(sluice::FormatSchedule(schedule) == text);
  if (sluice::NumUnits(schedule) <= sluice::kMaxNumUnitsJudged) {
    sluice::Judge(schedule);
    sluice::JudgeCompute(schedule);
    sluice::JudgeLowered(schedule);
  }
  return 0;
}
