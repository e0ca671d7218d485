// Schedules from files: the text form (schedule_text.h), whose first word is `schedule`, with or
// without communication, or PyTorch's CSV (pytorch_csv.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "parallel/schedule/schedule.h"

namespace sluice {

// Returns the schedule of a file with this text, without communication if the text has none. Throws
// Error if the text is empty or is neither of the two forms.
Schedule ParseScheduleFile(std::string_view text);

// The same for the file at `path`. Throws Error that names the path.
Schedule ReadScheduleFile(const std::string& path);

// Returns the first error in a schedule as its author wrote it, so that positions are those of the
// file: FindError's, or FindComputeError's if the schedule has no communication.
std::optional<std::string> FindErrorAsWritten(const Schedule& schedule);

// Throws Error that names `path` and the error that FindErrorAsWritten returns, in one line.
void CheckAsWritten(const Schedule& schedule, const std::string& path);

// Adds communication (AddCommunication) if `schedule` has none.
Schedule WithCommunication(Schedule schedule);

}  // namespace sluice
