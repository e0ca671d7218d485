// Where one rank works: its communicators and its device.
#pragma once

#include "core/backend/backend.h"
#include "parallel/comm/communicator.h"

namespace sluice {

struct RankEnvironment {
  Communicator& world;         // of host memory
  Communicator& device_world;  // of the backend's device: `world` itself on the CPU
  Backend& backend;
};

}  // namespace sluice
