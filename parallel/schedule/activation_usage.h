// How long a rank keeps activations. In a step, a unit's activation is kept from the start of its
// Forward to the end of its Backward or BackwardWeight. In a forward pass, which needs only the
// keys and values of earlier slices, it is kept to the end of the Forward of its micro-batch's last
// slice. Message buffers are not counted.
#pragma once

#include <cstdint>
#include <functional>

#include "parallel/schedule/schedule.h"

namespace sluice {

// Bytes that the Forward of a unit keeps.
using ActivationBytes = std::function<int64_t(const Unit&)>;

// Bytes allocated at the start of `compute`.
int64_t AllocatedActivationBytes(const Op& compute, const ActivationBytes& activation_bytes);

// Bytes freed at the end of `compute`.
int64_t FreedActivationBytes(const Schedule& schedule, const Op& compute,
                             const ActivationBytes& activation_bytes);

// The peak of one rank. It depends on the order of the rank's list alone, not on any time.
int64_t PeakActivationBytes(const Schedule& schedule, int rank,
                            const ActivationBytes& activation_bytes);

}  // namespace sluice
