// Where the time of a pass goes on the CPU, with ranks that are threads.
#include <gtest/gtest.h>

#include "correctness/parity/machines.h"
#include "correctness/parity/op_times_cases.h"

namespace sluice {
namespace {

TEST(OpTimes, WaitForAMessageIsNotCompute) { ExpectMessageWaitIsNotCompute(CpuMachine()); }

TEST(OpTimes, TensorCollectivesAreTheirOwn) { ExpectTensorCollectivesAreTheirOwn(CpuMachine()); }

TEST(OpTimes, DataCollectivesAreTheirOwn) { ExpectDataCollectivesAreTheirOwn(CpuMachine()); }

TEST(OpTimes, RecordingChangesNothing) { ExpectRecordingChangesNothing(CpuMachine()); }

}  // namespace
}  // namespace sluice
