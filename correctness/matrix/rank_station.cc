#include "correctness/matrix/rank_station.h"

#include <utility>

#include "parallel/comm/nccl/device_communicator.h"
#include "parallel/comm/nccl/staged_device_communicator.h"
#include "programs/job.h"

namespace sluice {

BackendOptions RankStation::BackendOf(Precision precision) {
  Job job = {.comm = request_.kind, .gpu_use = request_.gpu_use, .device = DeviceOf(request_.kind)};
  job.config.precision = precision;
  return job.BackendOf(world_.rank());
}

RankEnvironment RankStation::Of(Precision precision) {
  auto seat = seats_.find(precision);
  if (seat == seats_.end()) {
    seat = seats_.emplace(precision, Seat{.backend = MakeBackend(BackendOf(precision))}).first;
    if (DeviceOf(request_.kind) == DeviceKind::kCuda) {
      seat->second.device_world =
          MakeDeviceCommunicator(world_, *seat->second.backend.stream, request_.gpu_use);
    }
  }
  Communicator* device_world = seat->second.device_world.get();
  return {world_, device_world == nullptr ? world_ : *device_world, seat->second.backend};
}

Communicator& RankStation::Staged() {
  if (DeviceOf(request_.kind) == DeviceKind::kCpu) return world_;
  if (staged_.device_world == nullptr) {
    BackendOptions options = BackendOf(Precision::kFloat32);
    options.has_kernels = false;
    staged_.backend = MakeBackend(options);
    staged_.device_world =
        MakeStagedDeviceCommunicator(world_, *staged_.backend.stream, request_.gpu_use);
  }
  return *staged_.device_world;
}

}  // namespace sluice
