// Translates error messages of parallel/, which does not depend on flags, to flag names.
#pragma once

#include <string>
#include <string_view>

#include "core/base/error.h"

namespace sluice {

// `message` with the name of each field that a flag of another name sets replaced by the flag's
// name: "num_slices 2 is not allowed ..." becomes "n_slices 2 is not allowed ...".
std::string WithFlagNames(std::string_view message);

// Returns make(). An Error of it has flag names in its message.
template <typename Make>
auto MakeWithFlagNames(const Make& make) {
  try {
    return make();
  } catch (const Error& error) {
    throw Error(WithFlagNames(error.what()));
  }
}

}  // namespace sluice
