#include "parallel/schedule/schedule_file.h"

#include <fmt/format.h>

#include <utility>

#include "core/base/error.h"
#include "core/base/input_file.h"
#include "parallel/schedule/communication.h"
#include "parallel/schedule/find_error.h"
#include "parallel/schedule/pytorch_csv.h"
#include "parallel/schedule/schedule_text.h"

namespace sluice {

Schedule ParseScheduleFile(std::string_view text) {
  if (text.empty()) {
    throw Error(
        "the file is empty; it must contain a schedule in the text form or in PyTorch's CSV");
  }
  return text.starts_with("schedule") ? ParseSchedule(text) : ParsePyTorchCsv(text);
}

Schedule ReadScheduleFile(const std::string& path) {
  const std::string text = ReadTextFile(path);
  try {
    return ParseScheduleFile(text);
  } catch (const Error& error) {
    throw Error(fmt::format("'{}': {}", path, error.what()));
  }
}

std::optional<std::string> FindErrorAsWritten(const Schedule& schedule) {
  return HasCommunication(schedule) ? FindError(schedule) : FindComputeError(schedule);
}

void CheckAsWritten(const Schedule& schedule, const std::string& path) {
  const std::optional<std::string> error = FindErrorAsWritten(schedule);
  if (!error) return;
  std::string line = *error;
  constexpr std::string_view kNewLine = "\n  ";
  for (size_t at = 0; (at = line.find(kNewLine, at)) != std::string::npos;) {
    line.replace(at, kNewLine.size(), "; ");
  }
  throw Error(fmt::format("'{}': {}", path, line));
}

Schedule WithCommunication(Schedule schedule) {
  return HasCommunication(schedule) ? schedule : AddCommunication(std::move(schedule));
}

}  // namespace sluice
