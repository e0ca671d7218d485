// What one rank of //correctness/matrix computes on, made once and used by every row.
#pragma once

#include <map>
#include <memory>

#include "core/backend/backend.h"
#include "correctness/parity/parity_run.h"
#include "parallel/comm/communicator.h"
#include "programs/comm_flags.h"

namespace sluice {

class RankStation {
 public:
  // `world` is of host memory and must outlive this.
  RankStation(Communicator& world, const CommRequest& request) : world_(world), request_(request) {}

  // The rank's backend of a precision and the communicator of its device.  All ranks call it alike.
  RankEnvironment Of(Precision precision);

  // A communicator of host memory that moves bytes as the device's ranks do.  All ranks call it
  // alike.
  Communicator& Staged();

  Communicator& world() { return world_; }

 private:
  // The communicator goes first.
  struct Seat {
    Backend backend;
    std::unique_ptr<Communicator> device_world;
  };

  BackendOptions BackendOf(Precision precision);

  Communicator& world_;
  CommRequest request_;
  std::map<Precision, Seat> seats_;
  Seat staged_;
};

}  // namespace sluice
