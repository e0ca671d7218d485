// Where the time of a pass goes on streams of the fake of CUDA, call by call and as a graph.
#include <gtest/gtest.h>

#include "correctness/parity/fake_machine.h"
#include "correctness/parity/op_times_cases.h"

namespace sluice {
namespace {

TEST(FakeGpuOpTimes, WaitForAMessageIsNotCompute) {
  ExpectMessageWaitIsNotCompute(FakeGpuMachine());
}

TEST(FakeGpuOpTimes, TensorCollectivesAreTheirOwn) {
  ExpectTensorCollectivesAreTheirOwn(FakeGpuMachine());
}

TEST(FakeGpuOpTimes, DataCollectivesAreTheirOwn) {
  ExpectDataCollectivesAreTheirOwn(FakeGpuMachine());
}

TEST(FakeGpuOpTimes, RecordingChangesNothing) { ExpectRecordingChangesNothing(FakeGpuMachine()); }

}  // namespace
}  // namespace sluice
