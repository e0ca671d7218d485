// What a kernel does with the old contents of a gradient.
#pragma once

#include <cstdint>

namespace sluice {

enum class WriteMode : uint8_t {
  kOverwrite,   // the old contents are not read: they may be uninitialised
  kAccumulate,  // added to
};

}  // namespace sluice
