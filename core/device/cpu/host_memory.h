// How much memory this process can still take: less than the machine has where a container, a batch
// system or ulimit allows it less.
#pragma once

#include <cstdint>

#include "core/device/cpu/control_groups.h"

namespace sluice {

// The least of what the machine has available (MemAvailable), of what the limit of each control
// group that this process is in leaves, version 1 or 2, counting page cache that can be dropped as
// free, and of the address space that RLIMIT_AS leaves.  What is not said limits nothing: the
// largest number where nothing is.
int64_t AvailableHostBytes(const SystemFiles& files = {});

// Address space that the stacks of `num_threads` more threads of this process take.  0 where the
// address space is not limited: then only what is touched counts.
int64_t ThreadAddressBytes(int64_t num_threads);

// Where the address space is limited, has threads that are started from now on share one arena of
// the system's allocator.  Else each reserves 64 MiB, and keeps them.
void SaveAddressSpace();

}  // namespace sluice
