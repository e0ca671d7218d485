// NcclCommunicator on real GPUs, a rank on each, as threads of one process.  Skipped where there
// are too few; one GPU is enough for a rank alone and for the refusal of two ranks on one.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "core/base/error.h"
#include "core/device/cuda/cuda_device.h"
#include "core/device/cuda/gpu_test.h"
#include "parallel/comm/comm_error.h"
#include "parallel/comm/conformance/conformance.h"
#include "parallel/comm/nccl/nccl_communicator.h"
#include "parallel/comm/nccl/staged_communicator.h"
#include "parallel/comm/thread/thread_communicator.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

void RunStaged(int world_size, void (*run)(Communicator&)) {
  RunThreadRanks({.world_size = world_size, .comm = {.timeout_s = 60}}, [&](Communicator& world) {
    CudaDevice device({.device_index = world.rank()});
    const std::unique_ptr<CudaStream> stream = device.MakeCudaStream();
    const auto comm =
        MakeStagedCommunicator(MakeNcclCommunicator(world, stream->handle()), stream->handle());
    run(*comm);
  });
}

class GpuConformance : public GpuTest, public ::testing::WithParamInterface<int> {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped()) return;
    if (NumCudaDevices() < GetParam()) {
      GTEST_SKIP() << GetParam() << " GPUs are needed; this machine shows " << NumCudaDevices();
    }
  }
};

TEST_P(GpuConformance, EveryCase) {
  for (const ConformanceCase& test : ConformanceCases()) {
    if (test.of == ConformanceCase::Of::kCpu) continue;
    SCOPED_TRACE(test.name);
    EXPECT_NO_THROW(RunStaged(GetParam(), test.run));
  }
}

TEST_P(GpuConformance, EveryDisagreementNamesBothRanks) {
  if (GetParam() < 2) GTEST_SKIP() << "one rank agrees with itself";
  for (const DisagreementCase& test : DisagreementCases()) {
    SCOPED_TRACE(test.name);
    try {
      RunStaged(GetParam(), test.run);
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

INSTANTIATE_TEST_SUITE_P(Gpus, GpuConformance, ::testing::Range(1, 9));

class GpuRefusal : public GpuTest {};

TEST_F(GpuRefusal, TwoRanksOnOneGpu) {
  try {
    RunThreadRanks({.world_size = 2, .comm = {.timeout_s = 60}}, [](Communicator& world) {
      CudaDevice device({.device_index = 0});
      const std::unique_ptr<CudaStream> stream = device.MakeCudaStream();
      MakeNcclCommunicator(world, stream->handle());
    });
    ADD_FAILURE() << "nothing was noticed";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("ranks 0 and 1 are on one GPU, GPU-"),
                                    HasSubstr("NCCL needs a GPU for each rank")));
  }
}

}  // namespace
}  // namespace sluice
