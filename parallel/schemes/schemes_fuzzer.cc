// libFuzzer target: any five bytes are a scheme and a shape. BuildSchedule either throws an Error,
// or makes a schedule in which FindError finds nothing and which its text describes.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/base/check.h"
#include "core/base/error.h"
#include "parallel/schedule/communication.h"
#include "parallel/schedule/find_error.h"
#include "parallel/schedule/schedule_text.h"
#include "parallel/schemes/schemes.h"

namespace {

constexpr int kMaxNumUnitsBuilt = 20'000;

void CheckSchemeOfShape(const sluice::Scheme& scheme, const sluice::ScheduleShape& shape) {
  sluice::Schedule schedule;
  try {
    schedule = sluice::AddCommunication(sluice::BuildSchedule(scheme, shape));
  } catch (const sluice::Error&) {
    return;
  }
  for (const auto sends : {sluice::SendSemantics::kBuffered, sluice::SendSemantics::kRendezvous}) {
    SLUICE_CHECK_EQ(sluice::FindError(schedule, {.sends = sends}).value_or(""), "");
  }
  SLUICE_CHECK(sluice::ParseSchedule(sluice::FormatSchedule(schedule)) == schedule);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size != 5) return 0;
  const auto& schemes = sluice::Schemes();
  const auto number_at = [&](size_t i) { return std::max<int>(1, data[i]); };
  sluice::ScheduleShape shape = {.num_ranks = number_at(1),
                                 .num_micro_batches = number_at(2),
                                 .num_slices = number_at(3),
                                 .num_chunks = number_at(4)};
  const int64_t num_units =
      int64_t{shape.num_ranks} * shape.num_micro_batches * shape.num_slices * shape.num_chunks;
  if (num_units > kMaxNumUnitsBuilt) return 0;
  for (const sluice::Pass pass : {sluice::Pass::kForward, sluice::Pass::kStep}) {
    shape.pass = pass;
    CheckSchemeOfShape(schemes[data[0] % schemes.size()], shape);
  }
  return 0;
}
