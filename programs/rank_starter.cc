#include "programs/rank_starter.h"

#include "core/base/check.h"
#include "core/device/cpu/host_memory.h"
#include "parallel/comm/comm_error.h"
#include "parallel/comm/mpi/mpi_communicator.h"
#include "parallel/comm/thread/thread_communicator.h"

namespace sluice {

void RankStarter::Run(int world_size, const std::function<void(Communicator&)>& run_rank) {
  if (world_ == nullptr)
    return RunThreadRanks({.world_size = world_size, .comm = options_}, run_rank);
  SLUICE_CHECK_EQ(world_size, world_->world_size());
  run_rank(*world_);
}

int RunWithRanks(CommKind kind, const CommOptions& options,
                 const std::function<int(RankStarter&)>& run) {
  SaveAddressSpace();
  if (!RanksAreProcesses(kind)) {
    RankStarter ranks(options, nullptr);
    return RunReportingFaults([&] { return run(ranks); });
  }
  int exit_code = 0;
  const int fault_exit_code = RunMpiRank(options, [&](Communicator& world) {
    RankStarter ranks(options, &world);
    exit_code = run(ranks);
  });
  return fault_exit_code != 0 ? fault_exit_code : exit_code;
}

}  // namespace sluice
