// libFuzzer target: any bytes are a CSV file of PyTorch. Either ParsePyTorchCsv throws Error, or
// the properties of every schedule hold.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/error.h"
#include "parallel/schedule/pytorch_csv.h"
#include "parallel/schedule/schedule_properties.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sluice::Schedule schedule;
  try {
    schedule = sluice::ParsePyTorchCsv({reinterpret_cast<const char*>(data), size});
  } catch (const sluice::Error&) {
    return 0;
  }
  sluice::CheckScheduleProperties(schedule);
  return 0;
}
