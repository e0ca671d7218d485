// libFuzzer target: any bytes are the text form of a schedule. Either ParseSchedule throws Error,
// or FormatSchedule writes the same bytes and the properties of every schedule hold.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/check.h"
#include "core/base/error.h"
#include "parallel/schedule/schedule_properties.h"
#include "parallel/schedule/schedule_text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  sluice::Schedule schedule;
  try {
    schedule = sluice::ParseSchedule(text);
  } catch (const sluice::Error&) {
    return 0;
  }
  SLUICE_CHECK(sluice::FormatSchedule(schedule) == text);
  sluice::CheckScheduleProperties(schedule);
  return 0;
}
