// Runs the layers of a stage for one unit, with all of them in sight.
//
//   runner.Forward(layers);                        // first to last
//   runner.Backward(layers);                       // last to first
//
// `layers` are in the model's order in all three calls.  A call enqueues on the kernels' stream and
// is complete: what is enqueued after it may use all that the call writes.
#pragma once

#include <span>

#include "core/model/layer.h"

namespace sluice {

class LayerRunner {
 public:
  virtual ~LayerRunner() = default;

  virtual void Forward(std::span<const LayerForwardArgs> layers) = 0;
  virtual void Backward(std::span<const LayerBackwardArgs> layers) = 0;
  virtual void BackwardWeight(std::span<const LayerBackwardWeightArgs> layers) = 0;
};

}  // namespace sluice
