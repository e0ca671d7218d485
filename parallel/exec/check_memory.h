// Refuses a job that cannot fit into memory, before any of it is allocated.
#pragma once

#include <cstdint>
#include <vector>

#include "core/device/device.h"
#include "parallel/exec/job_plan.h"
#include "parallel/exec/memory_plan.h"

namespace sluice {

// One memory: the host's, which the ranks of a host share, or that of a GPU.
struct MemoryRoom {
  DeviceKind kind = DeviceKind::kCpu;
  int64_t available_bytes = 0;
  int64_t runtime_bytes = 0;  // taken already by the driver's context and kernels, on a GPU
  int64_t thread_bytes = 0;   // address space of the threads of all ranks, on the host
};

// Throws Error unless what all of `ranks` need fits into the room that they share. The message has
// the need, by purpose, the rank with the most, and what would fit.
void CheckMemory(const JobPlan& plan, const MemoryPlan& memory, const std::vector<int>& ranks,
                 const MemoryRoom& room);

}  // namespace sluice
