// Refuses to run ranks that were not given the same configuration, binary or schedule.
#pragma once

#include <span>
#include <string>

#include "parallel/comm/communicator.h"

namespace sluice {

struct FingerprintField {
  std::string name;
  std::string value;
};

// Compares an ordered list of fields with that of every other rank; all ranks call it, before
// timing.  Where one differs, all ranks throw CommError naming the first rank that differs from
// rank 0, the first differing field and both values.  Memory of the host: not for a device's
// communicator.
void CheckFingerprint(Communicator& comm, std::span<const FingerprintField> fields);

}  // namespace sluice
