// A step of the same transfers allocates nothing after a warm-up.

#include <gtest/gtest.h>

#include <vector>

#include "core/base/allocation_counter.h"
#include "parallel/comm/thread/thread_communicator.h"

namespace sluice {
namespace {

TEST(ThreadCommunicator, StepsAllocateNothing) {
  RunThreadRanks({.world_size = 4}, [](Communicator& comm) {
    std::vector<float> activation(1000, 1.0F);
    std::vector<float> gradient(1000, 1.0F);
    std::vector<float> gathered(4000);
    const int next = (comm.rank() + 1) % 4;
    const int previous = (comm.rank() + 3) % 4;
    const auto step = [&](int64_t index) {
      comm.SetPosition({.step = index, .op_index = 1, .label = "Forward(stage=0)"});
      const Transfer incoming = comm.Irecv({gradient.data(), 1000, DType::kFloat32}, {previous});
      const Transfer outgoing = comm.Isend({activation.data(), 1000, DType::kFloat32}, {next});
      comm.Wait(incoming);
      comm.Wait(outgoing);
      comm.AllReduce({gradient.data(), 1000, DType::kFloat32}, ReduceOp::kMax);
      comm.AllGather({gradient.data(), 1000, DType::kFloat32}, gathered.data());
      comm.ReduceScatter(gathered.data(), {gradient.data(), 1000, DType::kFloat32}, ReduceOp::kMax);
      comm.Broadcast({gradient.data(), 1000, DType::kFloat32}, 2);
      comm.Barrier();
      comm.Drain();
    };
    for (int i = 0; i < 3; ++i) step(i);
    const int64_t before = NumHeapAllocations();
    comm.Barrier();
    for (int i = 3; i < 20; ++i) step(i);
    comm.Barrier();
    EXPECT_EQ(NumHeapAllocations(), before);
  });
}

}  // namespace
}  // namespace sluice
