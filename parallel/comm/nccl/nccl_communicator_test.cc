// NcclCommunicator on the fake of NCCL and CUDA (fake/fake_gpu.h): what can be known without a GPU.
#include "parallel/comm/nccl/nccl_communicator.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>

#include "core/base/error.h"
#include "parallel/comm/comm_error.h"
#include "parallel/comm/conformance/conformance.h"
#include "parallel/comm/fingerprint.h"
#include "parallel/comm/nccl/fake/fake_gpu.h"
#include "parallel/comm/nccl/staged_communicator.h"
#include "parallel/comm/thread/thread_communicator.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A stream that work of the test goes to.
class ComputeStream {
 public:
  ComputeStream() { cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking); }
  ~ComputeStream() { cudaStreamDestroy(handle_); }
  ComputeStream(const ComputeStream&) = delete;
  ComputeStream& operator=(const ComputeStream&) = delete;

  cudaStream_t handle() const { return handle_; }

  // Enqueues `work`, a kernel so to speak.
  void Enqueue(std::function<void()> work) {
    works_.push_back(std::make_unique<std::function<void()>>(std::move(work)));
    cudaLaunchHostFunc(
        handle_, [](void* function) { (*static_cast<std::function<void()>*>(function))(); },
        works_.back().get());
  }
  bool IsIdle() { return cudaStreamQuery(handle_) == cudaSuccess; }

 private:
  cudaStream_t handle_ = nullptr;
  std::vector<std::unique_ptr<std::function<void()>>> works_;
};

void PrepareMachine() { fake::Reset(8); }

struct Gpu {
  Communicator& world;
  Communicator& comm;
  ComputeStream& stream;
};

std::vector<int> Everyone(const Communicator& comm) {
  std::vector<int> ranks(static_cast<size_t>(comm.world_size()));
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

// Runs ranks as threads, each on a device of the fake, all connected.
void RunOnGpus(int world_size, double timeout_s, const std::function<void(const Gpu&)>& run) {
  RunThreadRanks({.world_size = world_size, .comm = {.timeout_s = timeout_s}},
                 [&](Communicator& world) {
                   cudaSetDevice(world.rank());
                   // Left behind where a test breaks the device: its work may not end.
                   auto* stream = new ComputeStream;
                   const auto comm = MakeNcclCommunicator(world, stream->handle());
                   comm->Connect(Everyone(*comm));
                   run({world, *comm, *stream});
                   comm->Drain();
                   delete stream;
                 });
}

struct Fault {
  std::string message;
  int exit_code = 0;
};

Fault RunFault(int world_size, double timeout_s, const std::function<void(const Gpu&)>& run) {
  try {
    RunOnGpus(world_size, timeout_s, run);
  } catch (const CommError& error) {
    return {error.what(), error.exit_code()};
  }
  return {"no fault"};
}

std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

class Conformance : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { PrepareMachine(); }

  void RunStaged(void (*run)(Communicator&)) const {
    RunThreadRanks({.world_size = GetParam(), .comm = {.timeout_s = 60}}, [&](Communicator& world) {
      cudaSetDevice(world.rank());
      auto* stream = new ComputeStream;
      const auto comm =
          MakeStagedCommunicator(MakeNcclCommunicator(world, stream->handle()), stream->handle());
      run(*comm);
    });
  }
};

TEST_P(Conformance, EveryCase) {
  for (const ConformanceCase& test : ConformanceCases()) {
    if (test.of == ConformanceCase::Of::kCpu) continue;
    SCOPED_TRACE(test.name);
    EXPECT_NO_THROW(RunStaged(test.run));
  }
}

TEST_P(Conformance, EveryDisagreementNamesBothRanks) {
  if (GetParam() < 2) GTEST_SKIP() << "one rank agrees with itself";
  for (const DisagreementCase& test : DisagreementCases()) {
    SCOPED_TRACE(test.name);
    try {
      RunStaged(test.run);
      ADD_FAILURE() << "nothing was noticed";
    } catch (const CommError& error) {
      EXPECT_EQ(error.exit_code(), kFaultExitCode);
      for (std::string_view text : test.texts) {
        EXPECT_THAT(error.what(),
                    HasSubstr(fmt::format(fmt::runtime(text), fmt::arg("last", GetParam() - 1))));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fake, Conformance, ::testing::Range(1, 9));

class Streams : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { PrepareMachine(); }
};

constexpr int64_t kCount = 1000;

// Around a ring, from a buffer that the compute stream fills late to one that it reads early.
void RingStep(const Gpu& gpu, std::vector<float>& out, std::vector<float>& in, float& read,
              std::atomic<float>& value) {
  const int n = gpu.comm.world_size();
  const Transfer incoming = gpu.comm.Irecv({in.data(), kCount, DType::kFloat32},
                                           {.rank = (gpu.comm.rank() + n - 1) % n, .tag = 3});
  gpu.stream.Enqueue([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    std::fill(out.begin(), out.end(), value.load());
  });
  const Transfer outgoing = gpu.comm.Isend({out.data(), kCount, DType::kFloat32},
                                           {.rank = (gpu.comm.rank() + 1) % n, .tag = 3});
  gpu.comm.Wait(incoming);
  gpu.stream.Enqueue([&] { read = in[kCount - 1]; });
  gpu.comm.AllReduce({in.data(), kCount, DType::kFloat32}, ReduceOp::kSum);
  gpu.comm.Wait(outgoing);
}

float SumOfRanks(int n, float factor) { return factor * static_cast<float>(n * (n - 1)) / 2; }

TEST_P(Streams, OrderMessagesAndCollectivesWithCompute) {
  RunOnGpus(GetParam(), 60, [](const Gpu& gpu) {
    const int n = gpu.comm.world_size();
    std::vector<float> out(kCount, -1), in(kCount, -2);
    float read = -3;
    for (int step = 0; step < 3; ++step) {
      std::atomic<float> value = static_cast<float>(gpu.comm.rank() * (step + 1));
      RingStep(gpu, out, in, read, value);
      gpu.comm.Drain();
      EXPECT_EQ(read, static_cast<float>((gpu.comm.rank() + n - 1) % n * (step + 1)));
      EXPECT_EQ(in[0], SumOfRanks(n, static_cast<float>(step + 1)));
    }
  });
}

// The host goes on while the GPU works, and messages run beside compute.
TEST_P(Streams, MessagesRunBesideComputeAndTheHost) {
  const int n = GetParam();
  std::atomic<bool> may_end = false;
  RunOnGpus(n, 60, [&](const Gpu& gpu) {
    std::vector<float> out(kCount, static_cast<float>(gpu.comm.rank())), in(kCount, -1);
    const int previous = (gpu.comm.rank() + n - 1) % n;
    const Transfer outgoing =
        gpu.comm.Isend({out.data(), kCount, DType::kFloat32}, {.rank = (gpu.comm.rank() + 1) % n});
    const Transfer incoming =
        gpu.comm.Irecv({in.data(), kCount, DType::kFloat32}, {.rank = previous});
    gpu.stream.Enqueue([&] {
      while (!may_end) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    gpu.comm.Wait(incoming);
    gpu.comm.Wait(outgoing);
    // Compute goes on only when all messages have come, after those that connected the channels;
    // those of a rank to itself are copies.
    while (n > 1 && fake::NumReceived() < n * (n - 1) + n) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_FALSE(gpu.stream.IsIdle());
    gpu.world.Barrier();
    may_end = true;
    gpu.comm.Drain();
    EXPECT_TRUE(gpu.stream.IsIdle());
    EXPECT_EQ(in[kCount - 1], static_cast<float>(previous));
  });
}

// A captured step, with other values at each replay.
TEST_P(Streams, StepsCanBeCaptured) {
  RunOnGpus(GetParam(), 60, [](const Gpu& gpu) {
    const int n = gpu.comm.world_size();
    std::vector<float> out(kCount), in(kCount);
    float read = 0;
    std::atomic<float> value = 0;
    EXPECT_TRUE(gpu.comm.can_capture());
    RingStep(gpu, out, in, read, value);
    gpu.comm.Drain();

    ASSERT_EQ(cudaStreamBeginCapture(gpu.stream.handle(), cudaStreamCaptureModeThreadLocal),
              cudaSuccess);
    RingStep(gpu, out, in, read, value);
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamEndCapture(gpu.stream.handle(), &graph), cudaSuccess);
    cudaGraphExec_t executable = nullptr;
    ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    for (int step = 1; step < 4; ++step) {
      value = static_cast<float>(gpu.comm.rank() * step);
      ASSERT_EQ(cudaGraphLaunch(executable, gpu.stream.handle()), cudaSuccess);
      gpu.comm.Drain();
      EXPECT_EQ(read, static_cast<float>((gpu.comm.rank() + n - 1) % n * step));
      EXPECT_EQ(in[0], SumOfRanks(n, static_cast<float>(step)));
    }
    cudaGraphExecDestroy(executable);
    cudaGraphDestroy(graph);
  });
}

INSTANTIATE_TEST_SUITE_P(Fake, Streams, ::testing::Values(1, 2, 3, 8));

// Each direction between two ranks is a communicator of NCCL, made once, and only where wanted.
TEST(Connect, MakesWhatIsMissing) {
  PrepareMachine();
  RunThreadRanks({.world_size = 3, .comm = {.timeout_s = 60}}, [](Communicator& world) {
    cudaSetDevice(world.rank());
    ComputeStream stream;
    const auto comm = MakeNcclCommunicator(world, stream.handle());
    const auto expect_inits = [&](int expected) {
      world.Barrier();
      EXPECT_EQ(fake::NumInits(), expected);
      world.Barrier();
    };
    expect_inits(0);
    const int next[] = {world.rank() + 1};
    comm->Connect(world.rank() < 2 ? std::span<const int>(next) : std::span<const int>());
    expect_inits(2 * 2);
    comm->Connect(Everyone(*comm));
    expect_inits(6 * 2);
    comm->Connect(Everyone(*comm));
    expect_inits(6 * 2);
    double x = 1;
    comm->AllReduce({&x, 1, DType::kFloat64}, ReduceOp::kSum);
    comm->AllReduce({&x, 1, DType::kFloat64}, ReduceOp::kSum);
    comm->Drain();
    EXPECT_EQ(x, 9);
    expect_inits(6 * 2 + 3);
    EXPECT_EQ(fake::NumAborts(), 0);
  });
}

// A rank posts the receive of a message that its peer sends only after this rank's own: as a
// pipeline does with gradients, from its first step on.
TEST(Connect, LetsAFirstReceiveBePostedLongBeforeItsSend) {
  PrepareMachine();
  RunOnGpus(2, 60, [](const Gpu& gpu) {
    const Peer peer = {.rank = 1 - gpu.comm.rank()};
    std::vector<double> out(kCount, gpu.comm.rank()), in(kCount, -1);
    const Payload outgoing = {out.data(), kCount, DType::kFloat64};
    const Transfer incoming = gpu.comm.Irecv({in.data(), kCount, DType::kFloat64}, peer);
    if (gpu.comm.rank() == 1) gpu.comm.Wait(incoming);
    gpu.comm.Send(outgoing, peer);
    if (gpu.comm.rank() == 0) gpu.comm.Wait(incoming);
    gpu.comm.Drain();
    EXPECT_EQ(in[kCount - 1], peer.rank);
  });
}

// In NCCL's own calls: a communicator of both ranks of a world, and what the fake says of it.
class FakeComm {
 public:
  explicit FakeComm(Communicator& world) : world_(world) {
    cudaSetDevice(world.rank());
    ncclUniqueId id;
    if (world.rank() == 0) ncclGetUniqueId(&id);
    world.Broadcast({&id, sizeof(id), ControlType::kByte}, 0);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    ncclCommInitRankConfig(&comm_, world.world_size(), id, world.rank(), &config);
    Complete();
  }
  ~FakeComm() { ncclCommDestroy(comm_); }

  // Rank 1 sends `x` to rank 0.
  ncclResult_t Pass(double& x, cudaStream_t stream) {
    return world_.rank() == 0 ? ncclRecv(&x, 1, ncclFloat64, 1, comm_, stream)
                              : ncclSend(&x, 1, ncclFloat64, 0, comm_, stream);
  }
  ncclResult_t Finalize() { return ncclCommFinalize(comm_); }
  ncclResult_t state() const {
    ncclResult_t result = ncclSuccess;
    ncclCommGetAsyncError(comm_, &result);
    return result;
  }
  void Complete() {
    world_.WaitUntil({}, [this] { return state() == ncclSuccess; });
  }
  void ExpectToStayInProgress() const {
    for (int i = 0; i < 50; ++i) {
      EXPECT_EQ(state(), ncclInProgress);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

 private:
  Communicator& world_;
  ncclComm_t comm_ = nullptr;
};

// The host cannot go on from a first receive.
TEST(FakeNccl, AFirstReceiveIsInProgressUntilItsSenderHasCalled) {
  PrepareMachine();
  std::atomic<bool> has_waited = false;
  RunThreadRanks({.world_size = 2, .comm = {.timeout_s = 60}}, [&](Communicator& world) {
    FakeComm comm(world);
    ComputeStream stream;
    double x = world.rank() + 1;
    if (world.rank() == 1) world.WaitUntil({}, [&] { return has_waited.load(); });
    EXPECT_EQ(comm.Pass(x, stream.handle()), ncclInProgress);
    if (world.rank() == 0) {
      comm.ExpectToStayInProgress();
      EXPECT_EQ(comm.Pass(x, stream.handle()), ncclInvalidArgument);
      EXPECT_EQ(comm.Finalize(), ncclInvalidArgument);
      EXPECT_TRUE(stream.IsIdle());
      has_waited = true;
    }
    comm.Complete();
    cudaStreamSynchronize(stream.handle());
    EXPECT_EQ(x, 2);
    world.Barrier();
  });
}

// A graph ends before the communicators whose operations it contains.
TEST(FakeNccl, FinalizingWaitsForTheEndOfAGraph) {
  PrepareMachine();
  RunThreadRanks({.world_size = 2, .comm = {.timeout_s = 60}}, [&](Communicator& world) {
    FakeComm comm(world);
    ComputeStream stream;
    double x = world.rank();
    comm.Pass(x, stream.handle());
    comm.Complete();
    cudaStreamSynchronize(stream.handle());
    ASSERT_EQ(cudaStreamBeginCapture(stream.handle(), cudaStreamCaptureModeThreadLocal),
              cudaSuccess);
    EXPECT_EQ(comm.Pass(x, stream.handle()), ncclSuccess);
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamEndCapture(stream.handle(), &graph), cudaSuccess);
    EXPECT_EQ(comm.Finalize(), ncclInProgress);
    comm.ExpectToStayInProgress();
    world.Barrier();
    cudaGraphDestroy(graph);
    comm.Complete();
    world.Barrier();
  });
}

// A device frees memory only when nothing runs on it: not while a receive waits for its sender.
TEST(FakeCuda, FreeingMemoryWaitsForAReceiveThatIsUnderWay) {
  PrepareMachine();
  std::atomic<bool> is_freed = false;
  RunOnGpus(2, 60, [&](const Gpu& gpu) {
    double x = gpu.comm.rank();
    if (gpu.comm.rank() == 0) {
      const Transfer incoming = gpu.comm.Irecv({&x, 1, DType::kFloat64}, {.rank = 1});
      gpu.world.Barrier();
      void* memory = nullptr;
      ASSERT_EQ(cudaMalloc(&memory, 8), cudaSuccess);
      ASSERT_EQ(cudaFree(memory), cudaSuccess);
      is_freed = true;
      gpu.comm.Wait(incoming);
    } else {
      gpu.world.Barrier();
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      EXPECT_FALSE(is_freed);
      gpu.comm.Send({&x, 1, DType::kFloat64}, {.rank = 0});
    }
    gpu.comm.Drain();
    EXPECT_EQ(x, 1);
  });
  EXPECT_TRUE(is_freed);
}

class Faults : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { PrepareMachine(); }
};

TEST_P(Faults, TwoRanksOnOneGpu) {
  fake::Reset(GetParam() - 1);
  try {
    RunOnGpus(GetParam(), 60, [](const Gpu&) { ADD_FAILURE(); });
    ADD_FAILURE() << "nothing was noticed";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr(fmt::format("ranks 0 and {} are on one GPU, GPU-00000000-0000-0000-"
                                            "0000-000000000001 of host ",
                                            GetParam() - 1)),
                      HasSubstr("NCCL needs a GPU for each rank"), HasSubstr("--share_gpu")));
  }
  EXPECT_EQ(fake::NumInits(), 0);
}

// `num_gpus` for GetParam() ranks, which may share them.
void ReduceOnShared(int world_size, int num_gpus) {
  fake::Reset(num_gpus);
  RunThreadRanks({.world_size = world_size, .comm = {.timeout_s = 60}}, [](Communicator& world) {
    cudaSetDevice(world.rank());
    auto* stream = new ComputeStream;
    const auto comm = MakeNcclCommunicator(world, stream->handle(), GpuUse::kShared);
    double x = 1;
    comm->AllReduce({&x, 1, DType::kFloat64}, ReduceOp::kSum);
    comm->Drain();
    EXPECT_EQ(x, world.world_size());
  });
}

TEST_P(Faults, NotSharingAGpuThatMayBeShared) {
  ReduceOnShared(GetParam(), GetParam() - 1);
  ReduceOnShared(GetParam(), 1);
  try {
    ReduceOnShared(GetParam(), GetParam());
    ADD_FAILURE() << "nothing was noticed";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                HasSubstr(fmt::format("each of the {} ranks has a GPU of its own", GetParam())));
  }
}

TEST_P(Faults, AnAsynchronousErrorNamesItsRank) {
  const int faulty = GetParam() - 1;
  std::atomic<bool> may_end = false;
  const Fault fault = RunFault(GetParam(), 60, [&](const Gpu& gpu) {
    gpu.comm.SetPosition({.step = 4, .op_index = 2, .label = "Backward(stage=1)"});
    double x = 0;
    gpu.comm.AllReduce({&x, 1, DType::kFloat64}, ReduceOp::kSum);
    gpu.comm.Drain();
    if (gpu.comm.rank() == faulty) fake::SetAsyncError(faulty, ncclSystemError);
    gpu.stream.Enqueue([&] {
      while (!may_end) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    gpu.comm.Drain();
  });
  may_end = true;
  EXPECT_EQ(fault.exit_code, kFaultExitCode);
  EXPECT_THAT(FirstLine(fault.message),
              AllOf(StartsWith(fmt::format("rank {}: ", faulty)), HasSubstr("at step 4, op 2"),
                    HasSubstr("unhandled system error")));
  EXPECT_GT(fake::NumAborts(), 0);
}

// A rank dies in a step that runs call by call.  NCCL of its peers finds their connections closed
// before anything has said so; still the first line is of the rank that died.
TEST_P(Faults, TheRankThatDiedComesBeforeTheConnectionsItClosed) {
  const int faulty = GetParam() - 1;
  const Fault fault = RunFault(GetParam(), 60, [&](const Gpu& gpu) {
    gpu.comm.SetPosition({.step = 3, .label = "Forward(stage=0)"});
    if (gpu.comm.rank() == faulty) {
      fake::CloseConnections(faulty);
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      throw std::runtime_error("died");
    }
    int64_t x = 0;
    for (int step = 0; step < 100; ++step) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      gpu.comm.Wait(gpu.comm.Irecv({&x, 1, ControlType::kInt64}, {.rank = faulty}));
      gpu.comm.Drain();
    }
  });
  EXPECT_THAT(FirstLine(fault.message),
              StartsWith(fmt::format("rank {}: died (at step 3", faulty)));
}

// The same while the peers wait for their GPUs.
TEST_P(Faults, TheRankThatDiedComesFirstInADrain) {
  const int faulty = GetParam() - 1;
  const Fault fault = RunFault(GetParam(), 60, [&](const Gpu& gpu) {
    double x = 0;
    gpu.comm.AllReduce({&x, 1, DType::kFloat64}, ReduceOp::kSum);
    gpu.comm.Drain();
    if (gpu.comm.rank() == faulty) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      fake::CloseConnections(faulty);
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      throw std::runtime_error("died");
    }
    gpu.stream.Enqueue([] { std::this_thread::sleep_for(std::chrono::milliseconds(150)); });
    gpu.comm.Drain();
  });
  EXPECT_THAT(FirstLine(fault.message), StartsWith(fmt::format("rank {}: died", faulty)));
}

// Connections close and nothing says why: the error of NCCL is told.
TEST(Connections, ThatCloseWithoutACauseAreToldOf) {
  PrepareMachine();
  const Fault fault = RunFault(2, 60, [&](const Gpu& gpu) {
    gpu.comm.SetPosition({.step = 4});
    gpu.world.Barrier();
    fake::CloseConnections(0);
    int64_t x = 0;
    gpu.comm.Recv({&x, 1, ControlType::kInt64}, {.rank = 1 - gpu.comm.rank()});
  });
  EXPECT_EQ(fault.exit_code, kFaultExitCode);
  EXPECT_THAT(
      FirstLine(fault.message),
      AllOf(HasSubstr(" failed at step 4 with remote process exited"), StartsWith("rank ")));
}

// The GPU of one rank hangs before its message: the others wait in theirs, and say who is at fault.
TEST_P(Faults, AHangingGpuIsNamed) {
  const int faulty = GetParam() - 1;
  std::atomic<bool> may_end = false;
  const Fault fault = RunFault(GetParam(), 0.4, [&](const Gpu& gpu) {
    gpu.comm.SetPosition({.step = 1, .op_index = 5, .label = "Forward(stage=0)"});
    const int n = gpu.comm.world_size();
    int64_t sent = 0, received = 0;
    if (gpu.comm.rank() == faulty) {
      gpu.stream.Enqueue([&] {
        while (!may_end) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      });
    }
    // Each rank's message follows from the one that it gets.
    if (gpu.comm.rank() != faulty) {
      gpu.comm.Recv({&received, 1, ControlType::kInt64}, {.rank = (gpu.comm.rank() + 1) % n});
    }
    if (gpu.comm.rank() > 0) {
      gpu.comm.Send({&sent, 1, ControlType::kInt64}, {.rank = gpu.comm.rank() - 1});
    }
    gpu.comm.Drain();
  });
  may_end = true;
  EXPECT_EQ(fault.exit_code, kDeadlineExitCode);
  EXPECT_THAT(FirstLine(fault.message), HasSubstr(fmt::format("rank {} does not respond", faulty)));
  EXPECT_THAT(fault.message, HasSubstr("waits in Recv of 8 B from rank"));
}

// The same before a collective, in which all wait for all.
TEST_P(Faults, AHangingGpuIsNamedInACollective) {
  const int faulty = GetParam() - 1;
  std::atomic<bool> may_end = false;
  const Fault fault = RunFault(GetParam(), 0.4, [&](const Gpu& gpu) {
    double x = 0;
    if (gpu.comm.rank() == faulty) {
      gpu.stream.Enqueue([&] {
        while (!may_end) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      });
    }
    gpu.comm.AllReduce({&x, 1, DType::kFloat64}, ReduceOp::kSum);
    gpu.comm.Drain();
  });
  may_end = true;
  EXPECT_EQ(fault.exit_code, kDeadlineExitCode);
  EXPECT_THAT(FirstLine(fault.message), HasSubstr(fmt::format("rank {} does not respond", faulty)));
}

// The host of one rank hangs while the others wait for the GPU, in a replay, where nothing is known
// of single calls.
TEST_P(Faults, AHangingHostIsNamed) {
  const int faulty = GetParam() - 1;
  const Fault fault = RunFault(GetParam(), 0.4, [&](const Gpu& gpu) {
    double x = 0;
    const auto step = [&] { gpu.comm.AllReduce({&x, 1, DType::kFloat64}, ReduceOp::kSum); };
    step();
    gpu.comm.Drain();
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    cudaStreamBeginCapture(gpu.stream.handle(), cudaStreamCaptureModeThreadLocal);
    step();
    ASSERT_EQ(cudaStreamEndCapture(gpu.stream.handle(), &graph), cudaSuccess);
    cudaGraphInstantiate(&executable, graph, 0);
    gpu.world.Barrier();
    gpu.comm.SetPosition({.step = 3});
    if (gpu.comm.rank() == faulty) std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    cudaGraphLaunch(executable, gpu.stream.handle());
    gpu.comm.Drain();
  });
  EXPECT_EQ(fault.exit_code, kDeadlineExitCode);
  EXPECT_THAT(FirstLine(fault.message),
              AllOf(HasSubstr(fmt::format("rank {} does not respond", faulty)),
                    HasSubstr("Drain at step 3")));
}

TEST_P(Faults, ARankThatNeverConnectsIsNamed) {
  const int faulty = GetParam() - 1;
  const Fault fault = RunFault(GetParam(), 0.4, [&](const Gpu& gpu) {
    if (gpu.comm.rank() == faulty) std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    double x = 0;
    gpu.comm.AllReduce({&x, 1, DType::kFloat64}, ReduceOp::kSum);
  });
  EXPECT_EQ(fault.exit_code, kDeadlineExitCode);
  EXPECT_THAT(FirstLine(fault.message), HasSubstr(fmt::format("rank {} does not respond", faulty)));
}

// NCCL itself never finishes making a communicator.
TEST_P(Faults, AnInitThatHangsHasADeadline) {
  const int faulty = GetParam() - 1;
  const Fault fault = RunFault(GetParam(), 0.4, [&](const Gpu& gpu) {
    gpu.world.Barrier();
    fake::HangInit(faulty);
    gpu.world.Barrier();
    double x = 0;
    gpu.comm.AllReduce({&x, 1, DType::kFloat64}, ReduceOp::kSum);
  });
  EXPECT_EQ(fault.exit_code, kDeadlineExitCode);
  EXPECT_THAT(fault.message, HasSubstr("in Connect"));
}

// A channel whose ends never connect: the rank and its peer are named.
TEST(Connect, HasADeadlineThatNamesThePeer) {
  PrepareMachine();
  fake::HangConnect(1);
  const Fault fault = RunFault(2, 0.4, [](const Gpu&) { ADD_FAILURE(); });
  EXPECT_EQ(fault.exit_code, kDeadlineExitCode);
  EXPECT_THAT(fault.message, HasSubstr("in Connect with rank"));
}

TEST_P(Faults, TheErrorOfARankComesFirst) {
  const int faulty = GetParam() - 1;
  const Fault fault = RunFault(GetParam(), 60, [&](const Gpu& gpu) {
    gpu.comm.SetPosition({.step = 3, .label = "Forward(stage=0)"});
    double x = 0;
    gpu.comm.AllReduce({&x, 1, DType::kFloat64}, ReduceOp::kSum);
    if (gpu.comm.rank() == faulty) throw std::runtime_error("the kernel broke");
    int64_t y = 0;
    gpu.comm.Recv({&y, 1, ControlType::kInt64}, {.rank = faulty});
    gpu.comm.Drain();
  });
  EXPECT_THAT(fault.message, StartsWith(fmt::format("rank {}: the kernel broke (at step 3 "
                                                    "Forward(stage=0))",
                                                    faulty)));
  EXPECT_EQ(fault.exit_code, kFaultExitCode);
}

TEST_P(Faults, AnotherConfigurationIsRefused) {
  const int faulty = GetParam() - 1;
  const Fault fault = RunFault(GetParam(), 60, [&](const Gpu& gpu) {
    CheckFingerprint(gpu.comm.host(), std::vector<FingerprintField>{
                                          {"n_slices", gpu.comm.rank() == faulty ? "4" : "8"}});
  });
  EXPECT_THAT(fault.message, HasSubstr(fmt::format("rank {} has another configuration: n_slices is "
                                                   "'4', but '8' on rank 0",
                                                   faulty)));
}

// F22: the abort itself hangs.
TEST_P(Faults, AHangingAbortEndsTheProcess) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto run = [&] {
    for (int rank = 0; rank < GetParam(); ++rank) fake::HangAbort(rank);
    RunFault(GetParam(), 0.3, [](const Gpu& gpu) {
      double x = 0;
      gpu.comm.AllReduce({&x, 1, DType::kFloat64}, ReduceOp::kSum);
      if (gpu.comm.rank() == 0)
        gpu.stream.Enqueue([] { std::this_thread::sleep_for(std::chrono::hours(1)); });
      gpu.comm.Drain();
      gpu.comm.AllReduce({&x, 1, DType::kFloat64}, ReduceOp::kSum);
    });
  };
  EXPECT_EXIT(run(), ::testing::ExitedWithCode(kDeadlineExitCode), "rank 0 does not respond");
}

INSTANTIATE_TEST_SUITE_P(Fake, Faults, ::testing::Values(2, 3, 4));

}  // namespace
}  // namespace sluice
