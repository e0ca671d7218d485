#include "parallel/schemes/golden_text.h"

#include "parallel/schedule/communication.h"
#include "parallel/schedule/schedule_text.h"
#include "parallel/schemes/schemes.h"

namespace sluice {
namespace {

ScheduleShape GoldenShape(const Scheme& scheme) {
  ScheduleShape shape = {.num_ranks = (scheme.shape_fields & kUsesRanks) ? 2 : 1};
  if (scheme.shape_fields & kUsesChunks) shape.num_chunks = 2;
  if (scheme.shape_fields & kUsesSlices) {
    shape.num_micro_batches = 2;
    shape.num_slices = (scheme.shape_fields & kUsesChunks) ? 2 : 3;
  } else {
    shape.num_micro_batches = 4;
  }
  return shape;
}

}  // namespace

std::string GoldenText(const Scheme& scheme) {
  ScheduleShape shape = GoldenShape(scheme);
  const Schedule step = BuildSchedule(scheme, shape);
  shape.pass = Pass::kForward;
  const Schedule forward = BuildSchedule(scheme, shape);
  return FormatSchedule(step) + "\n" + FormatSchedule(AddCommunication(step)) + "\n" +
         FormatSchedule(AddCommunication(forward));
}

}  // namespace sluice
