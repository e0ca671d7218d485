#include "bench/grid/forward_stack.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "parallel/comm/thread/thread_communicator.h"
#include "parallel/exec/executor.h"
#include "parallel/exec/initialize.h"

namespace sluice {
namespace {

Backend TwoThreads() {
  return MakeBackend(
      {.kind = DeviceKind::kCpu, .precision = Precision::kFloat32, .num_threads = 2});
}

std::vector<double> StackOutput(ForwardStack& stack, Backend& backend, const GridPoint& point) {
  stack.Prepare(point);
  stack.Run();
  backend.stream->Synchronize();
  return ReadTensor(*backend.device, stack.output());
}

// What every other program computes for the point.
std::vector<double> ExecutorOutput(const GridPoint& point, const ForwardStackOptions& options) {
  const JobPlan plan = ForwardStack::PlanOf(point, options);
  std::vector<double> output;
  RunThreadRanks({.world_size = 1}, [&](Communicator& comm) {
    Backend backend = TwoThreads();
    Executor executor(plan, backend, comm);
    const Observer observer = {.output = [&](const Unit&, const Tensor& rows) {
      output = ReadTensor(*backend.device, rows);
    }};
    executor.set_observer(&observer);
    executor.RunStep();
  });
  return output;
}

// One stack for all points: whatever memory and weights are reused, a point's output is the
// executor's, bit for bit.  (Only layer 0 of a stack has the executor's prefix.)
TEST(ForwardStack, ComputesWhatTheExecutorComputes) {
  const ForwardStackOptions options = {.batch_size = 2, .head_dim = 16, .seed = 3};
  Backend backend = TwoThreads();
  ForwardStack stack(backend, options);
  for (const GridPoint& point : std::vector<GridPoint>{{.num_layers = 2, .seq_len = 9},
                                                       {.num_layers = 4, .seq_len = 5},
                                                       {.num_layers = 1, .seq_len = 7},
                                                       {.seq_len = 6, .prefix_len = 6},
                                                       {.seq_len = 3, .prefix_len = 24},
                                                       {.seq_len = 8, .prefix_len = 1},
                                                       {.num_layers = 3, .hidden_size = 32},
                                                       {.num_layers = 3, .seq_len = 2}}) {
    EXPECT_EQ(StackOutput(stack, backend, point), ExecutorOutput(point, options))
        << point.num_layers << " " << point.hidden_size << " " << point.seq_len << " "
        << point.prefix_len;
  }
}

TEST(ForwardStack, ReusesMemoryAndWeights) {
  Backend backend = TwoThreads();
  ForwardStack stack(backend, {.head_dim = 16});
  const GridPoint large = {.num_layers = 3, .seq_len = 16, .prefix_len = 32};
  stack.Prepare(large);
  const int64_t num_allocations = backend.device->num_allocations();
  stack.Prepare({.num_layers = 2, .seq_len = 8, .prefix_len = 8});
  stack.Prepare(large);
  // The kernels' workspace alone is taken anew for each point.
  EXPECT_LE(backend.device->num_allocations() - num_allocations, 2);
  const int64_t before = backend.device->num_allocations();
  stack.Run();
  EXPECT_EQ(backend.device->num_allocations(), before);
}

TEST(ForwardStack, NeedsWhatItAllocates) {
  const GridPoint point = {.num_layers = 3, .seq_len = 16, .prefix_len = 32};
  Backend backend = TwoThreads();
  ForwardStack stack(backend, {.head_dim = 16});
  stack.Prepare(point);
  const int64_t prefix_bytes = 32 * 3 * 64 * 4;
  EXPECT_EQ(stack.NeededBytes(point), backend.device->allocated_bytes() + prefix_bytes);
}

TEST(ForwardStack, GoesOnAfterAPointThatDoesNotFit) {
  const ForwardStackOptions options = {.head_dim = 64};
  Backend backend = TwoThreads();
  ForwardStack stack(backend, options);
  const GridPoint small = {.num_layers = 2, .seq_len = 4};
  const std::vector<double> output = StackOutput(stack, backend, small);
  const GridPoint huge = {.num_layers = 2, .seq_len = int64_t{1} << 40};
  EXPECT_GT(stack.NeededBytes(huge), stack.AvailableBytes());
  EXPECT_THROW(stack.Prepare(huge), Error);
  EXPECT_EQ(StackOutput(stack, backend, small), output);
}

}  // namespace
}  // namespace sluice
