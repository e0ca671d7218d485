// How ranks are made and meet.
#pragma once

#include <string_view>

#include "core/device/device.h"

namespace sluice {

enum class CommKind {
  kThread,  // threads of this process
  kMpi,     // processes that tools/launch starts
  kNccl,    // a GPU each: processes where a launcher started this one, else threads
};

// "thread", "mpi", "nccl".
std::string_view Name(CommKind kind);

// Whether this process is one rank of a launcher's, and not all of them.
bool RanksAreProcesses(CommKind kind);

// Whose memory the ranks of a program without --device exchange: of GPUs with kNccl, else of hosts.
DeviceKind DeviceOf(CommKind kind);

}  // namespace sluice
