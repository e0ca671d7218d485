// The golden text of a scheme (golden/<scheme>.txt): its step's compute ops, the same with
// communication, and its forward pass, for the shape that shows most of the scheme in few ops.
#pragma once

#include <string>

#include "parallel/schemes/scheme.h"

namespace sluice {

std::string GoldenText(const Scheme& scheme);

}  // namespace sluice
