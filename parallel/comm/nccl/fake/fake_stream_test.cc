// Events that have a time: what CUDA allows of them, and what it refuses.
#include "parallel/comm/nccl/fake/fake_stream.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace sluice::fake {
namespace {

constexpr float kWorkMs = 20;

class FakeEvents : public testing::Test {
 protected:
  FakeEvents() {
    cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking);
    for (cudaEvent_t* event : {&begin_, &end_}) cudaEventCreateWithFlags(event, cudaEventDefault);
  }
  ~FakeEvents() override {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
    cudaStreamDestroy(stream_);
  }

  void EnqueueWork() {
    Enqueue(stream_, [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); });
  }
  // Work between the two events, recorded with `flags` in a capture.
  cudaGraphExec_t CaptureWork(unsigned int flags) {
    cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal);
    EXPECT_EQ(cudaEventRecordWithFlags(begin_, stream_, flags), cudaSuccess);
    EnqueueWork();
    EXPECT_EQ(cudaEventRecordWithFlags(end_, stream_, flags), cudaSuccess);
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
    cudaGraphExec_t executable = nullptr;
    cudaGraphInstantiate(&executable, graph, 0);
    cudaGraphDestroy(graph);
    return executable;
  }
  cudaError_t Elapsed() { return cudaEventElapsedTime(&elapsed_ms_, begin_, end_); }

  cudaStream_t stream_ = nullptr;
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
  float elapsed_ms_ = 0;
};

TEST_F(FakeEvents, TimeIsOfTheWorkBetweenThem) {
  EXPECT_EQ(Elapsed(), cudaErrorInvalidResourceHandle);
  cudaEventRecord(begin_, stream_);
  EnqueueWork();
  cudaEventRecord(end_, stream_);
  EXPECT_EQ(Elapsed(), cudaErrorNotReady);
  cudaStreamSynchronize(stream_);
  EXPECT_EQ(Elapsed(), cudaSuccess);
  EXPECT_GE(elapsed_ms_, kWorkMs);
}

TEST_F(FakeEvents, ExternalOnesOfAGraphAreOfItsLastLaunch) {
  const cudaGraphExec_t graph = CaptureWork(cudaEventRecordExternal);
  for (int launch = 0; launch < 2; ++launch) {
    cudaGraphLaunch(graph, stream_);
    EXPECT_EQ(Elapsed(), cudaErrorNotReady);
    EXPECT_EQ(cudaEventQuery(end_), cudaErrorNotReady);
    cudaStreamSynchronize(stream_);
    EXPECT_EQ(Elapsed(), cudaSuccess);
    EXPECT_GE(elapsed_ms_, kWorkMs);
    elapsed_ms_ = 0;
  }
  cudaGraphExecDestroy(graph);
}

TEST_F(FakeEvents, RefusesTimesThatCudaDoesNotHave) {
  // Recorded in a capture, but not from outside.
  const cudaGraphExec_t graph = CaptureWork(cudaEventRecordDefault);
  cudaGraphLaunch(graph, stream_);
  cudaStreamSynchronize(stream_);
  EXPECT_EQ(Elapsed(), cudaErrorInvalidResourceHandle);
  cudaGraphExecDestroy(graph);
  // From outside, where there is no capture.
  EXPECT_EQ(cudaEventRecordWithFlags(begin_, stream_, cudaEventRecordExternal),
            cudaErrorInvalidValue);
  // An event without timing.
  cudaEvent_t untimed = nullptr;
  cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming);
  cudaEventRecord(untimed, stream_);
  cudaEventRecord(end_, stream_);
  cudaStreamSynchronize(stream_);
  EXPECT_EQ(cudaEventElapsedTime(&elapsed_ms_, untimed, end_), cudaErrorInvalidResourceHandle);
  cudaEventDestroy(untimed);
}

}  // namespace
}  // namespace sluice::fake
