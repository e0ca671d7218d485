// What this machine can do, measured in the same process through the same kernels: the ceilings
// beside every rate.
#pragma once

#include "core/backend/backend.h"

namespace sluice {

// Extent of the square matrix product on each kind of device: large enough for the rate to be flat.
int64_t CeilingMatmulSize(DeviceKind device);

// Bytes of its three matrices, which are freed again.
int64_t CeilingMatmulBytes(DeviceKind device, Precision precision);

// Floating-point operations a second of that product, the best of several, as LinearForward without
// bias on the backend's threads or GPU, in its precision.  Ranks that share a machine measure
// together and so find their share.  The kernels' scratch memory is reserved for it: reserve anew.
double MeasureMatmulRate(Backend& backend, Precision precision);

}  // namespace sluice
