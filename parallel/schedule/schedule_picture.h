// A schedule as characters, one line per rank, time to the right:
//
//   rank 0  0123.........DDCCBBAA
//   rank 1  .0123......DDCCBBAA..
//
// A digit is the forward of a unit and takes one column, a pair of capitals is a whole backward and
// takes two, a dot is an idle column. If the backward is split, a capital is the input gradient, a
// small letter the weight gradient, and each takes one. Units count slices first, then
// micro-batches; a digit is the last one of its number, and letters start again after 26 units.
#pragma once

#include <string>

#include "parallel/schedule/schedule.h"

namespace sluice {

// `schedule` has its communication, and FindError finds nothing in it.
std::string SchedulePicture(const Schedule& schedule);

}  // namespace sluice
