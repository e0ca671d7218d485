#include "parallel/comm/thread/rank_thread.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace sluice::internal {
namespace {

constexpr uint64_t kTimeSliceNs = 100'000'000;

// The kernel's struct sched_attr, in its first version.
struct SchedulingAttributes {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime_ns;  // of a normal policy: the time slice
  uint64_t deadline_ns;
  uint64_t period_ns;
};

void TakeLongTimeSlices() {
  SchedulingAttributes attributes = {};
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0) != 0) return;
  if (attributes.policy != SCHED_OTHER && attributes.policy != SCHED_BATCH) return;
  attributes.runtime_ns = kTimeSliceNs;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

void BeginOnOwnCore(int index, const cpu_set_t& allowed) {
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed) || index-- > 0) continue;
    cpu_set_t own;
    CPU_ZERO(&own);
    CPU_SET(cpu, &own);
    if (sched_setaffinity(0, sizeof(own), &own) == 0) {
      sched_setaffinity(0, sizeof(allowed), &allowed);
    }
    return;
  }
}

}  // namespace

void ScheduleRankThread(int rank, int world_size) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return;
  const int num_cores = CPU_COUNT(&allowed);
  if (world_size > num_cores) return TakeLongTimeSlices();
  BeginOnOwnCore(rank * num_cores / world_size, allowed);
}

}  // namespace sluice::internal
