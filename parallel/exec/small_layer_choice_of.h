// Which parts of a job run on the kernels of small layers.
#pragma once

#include "core/model/small_layer_choice.h"
#include "parallel/exec/job_plan.h"

namespace sluice {

// ChooseSmallLayer for all units of the job.  `kernels` are the backend's, null where it has none:
// then no part does.
SmallLayerChoice SmallLayerChoiceOf(const JobPlan& plan, const SmallLayerKernels* kernels);

}  // namespace sluice
