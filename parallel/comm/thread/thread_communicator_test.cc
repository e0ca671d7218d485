#include "parallel/comm/thread/thread_communicator.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "core/base/check.h"
#include "core/base/error.h"
#include "parallel/comm/comm_error.h"
#include "parallel/comm/conformance/conformance.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string SendModeName(SendMode mode) {
  return mode == SendMode::kRendezvous ? "rendezvous" : "buffered";
}

struct Ranks {
  SendMode send_mode;
  int world_size;
};

class Conformance : public ::testing::TestWithParam<Ranks> {
 protected:
  ThreadRanksOptions options() const {
    return {.world_size = GetParam().world_size,
            .comm = {.timeout_s = 60, .send_mode = GetParam().send_mode}};
  }
};

TEST_P(Conformance, EveryCase) {
  for (const ConformanceCase& test : ConformanceCases()) {
    SCOPED_TRACE(test.name);
    EXPECT_NO_THROW(RunThreadRanks(options(), test.run));
  }
}

TEST_P(Conformance, EveryDisagreementNamesBothRanks) {
  if (GetParam().world_size < 2) GTEST_SKIP() << "one rank agrees with itself";
  for (const DisagreementCase& test : DisagreementCases()) {
    SCOPED_TRACE(test.name);
    try {
      RunThreadRanks(options(), test.run);
      ADD_FAILURE() << "nothing was noticed";
    } catch (const CommError& error) {
      EXPECT_EQ(error.exit_code(), kFaultExitCode);
      for (std::string_view text : test.texts) {
        EXPECT_THAT(error.what(),
                    HasSubstr(fmt::format(fmt::runtime(text),
                                          fmt::arg("last", GetParam().world_size - 1))));
      }
    }
  }
}

std::vector<Ranks> AllRanks() {
  std::vector<Ranks> all;
  for (SendMode mode : {SendMode::kRendezvous, SendMode::kBuffered}) {
    for (int world_size = 1; world_size <= 8; ++world_size) all.push_back({mode, world_size});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Threads, Conformance, ::testing::ValuesIn(AllRanks()),
                         [](const auto& test) {
                           return fmt::format("{}{}", SendModeName(test.param.send_mode),
                                              test.param.world_size);
                         });

// Runs ranks that must fail, and returns the message.
struct Fault {
  std::string message;
  int exit_code = 0;
};

Fault RunFault(int world_size, double timeout_s,
               const std::function<void(Communicator&)>& run_rank) {
  try {
    RunThreadRanks({.world_size = world_size, .comm = {.timeout_s = timeout_s}}, run_rank);
  } catch (const CommError& error) {
    return {error.what(), error.exit_code()};
  }
  return {"no fault"};
}

std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

class Faults : public ::testing::TestWithParam<int> {};

// F4: a rank that is late for a collective.
TEST_P(Faults, DeadlineNamesTheLateRank) {
  const int late = GetParam() - 1;
  const Fault fault = RunFault(GetParam(), 0.3, [&](Communicator& comm) {
    comm.SetPosition({.step = 2, .op_index = 7, .label = "Backward(stage=1)"});
    double x = 0;
    comm.AllReduce({&x, 1, DType::kFloat64}, ReduceOp::kSum);
    if (comm.rank() == late) std::this_thread::sleep_for(std::chrono::milliseconds(1200));
    comm.AllReduce({&x, 1, DType::kFloat64}, ReduceOp::kSum);
  });
  EXPECT_EQ(fault.exit_code, kDeadlineExitCode);
  EXPECT_THAT(FirstLine(fault.message),
              AllOf(HasSubstr(fmt::format("rank {} does not respond", late)),
                    HasSubstr("AllReduce of 8 B"), HasSubstr("at step 2, op 7 Backward(stage=1)")));
  EXPECT_THAT(fault.message, HasSubstr("last completed: AllReduce of 8 B at step 2"));
}

// F3: a chain of waits ends at the one that hangs, though its neighbour notices first.
TEST_P(Faults, DeadlineFollowsTheChainOfWaits) {
  const int last = GetParam() - 1;
  const Fault fault = RunFault(GetParam(), 0.3, [&](Communicator& comm) {
    int64_t x = 0;
    if (comm.rank() == last) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1200));
    } else {
      comm.Recv({&x, 1, ControlType::kInt64}, {.rank = comm.rank() + 1});
    }
  });
  EXPECT_EQ(fault.exit_code, kDeadlineExitCode);
  EXPECT_THAT(FirstLine(fault.message), HasSubstr(fmt::format("rank {} does not respond", last)));
  EXPECT_THAT(FirstLine(fault.message), HasSubstr("Recv of 8 B from rank"));
}

// Where a device waits for all, the rank that does not wait is at fault; a rank whose own device
// does not end is named before that.
TEST_P(Faults, DeadlineOfADevice) {
  const int last = GetParam() - 1;
  for (const bool is_own_device : {false, true}) {
    const Fault fault = RunFault(GetParam(), 0.3, [&](Communicator& comm) {
      comm.SetPosition({.step = 6});
      if (comm.rank() == last && !is_own_device) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1200));
      }
      comm.WaitUntil({CommOp::kDrain, comm.rank() == last ? last : -1}, [] { return false; });
    });
    EXPECT_EQ(fault.exit_code, kDeadlineExitCode);
    EXPECT_THAT(FirstLine(fault.message),
                AllOf(HasSubstr(fmt::format("rank {} does not respond", last)),
                      HasSubstr("in Drain"), HasSubstr("at step 6")));
  }
}

// A rendezvous send waits for its receive: crossed sends are a deadlock, and seen as one.
TEST_P(Faults, DeadlockIsNamed) {
  const Fault fault = RunFault(GetParam(), 0.3, [&](Communicator& comm) {
    int64_t x = 0;
    const int next = (comm.rank() + 1) % comm.world_size();
    comm.Send({&x, 1, ControlType::kInt64}, {.rank = next});
  });
  EXPECT_EQ(fault.exit_code, kDeadlineExitCode);
  EXPECT_THAT(fault.message, HasSubstr("ranks wait for each other"));
  EXPECT_THAT(fault.message, HasSubstr("Send of 8 B to rank"));
}

// F5: the rank's own message, not its peers'.
TEST_P(Faults, TheFirstErrorWins) {
  for (int faulty = 0; faulty < GetParam(); ++faulty) {
    const Fault fault = RunFault(GetParam(), 60, [&](Communicator& comm) {
      comm.SetPosition({.step = 3, .label = "Forward(stage=0)"});
      if (comm.rank() == faulty) throw std::runtime_error("the kernel broke");
      comm.Barrier();
    });
    EXPECT_THAT(fault.message, StartsWith(fmt::format("rank {}: the kernel broke (at step 3 "
                                                      "Forward(stage=0))",
                                                      faulty)));
    EXPECT_EQ(fault.exit_code, kFaultExitCode);
  }
}

// F6: a rank that returns while others wait for it, in a message and in a collective.
TEST_P(Faults, LeavingEarlyIsAFault) {
  const int leaver = GetParam() - 1;
  for (CommOp op : {CommOp::kRecv, CommOp::kAllReduce}) {
    const Fault fault = RunFault(GetParam(), 60, [&](Communicator& comm) {
      comm.Barrier();
      if (comm.rank() == leaver) return;
      comm.SetPosition({.step = 5});
      double x = 0;
      if (op == CommOp::kRecv) comm.Recv({&x, 1, DType::kFloat64}, {.rank = leaver});
      if (op == CommOp::kAllReduce) comm.AllReduce({&x, 1, DType::kFloat64}, ReduceOp::kSum);
    });
    EXPECT_THAT(fault.message, StartsWith(fmt::format("rank {} left before step 5", leaver)));
    EXPECT_EQ(fault.exit_code, kFaultExitCode);
  }
}

TEST_P(Faults, BadInputStaysBadInput) {
  const auto refuse = [](Communicator& comm) {
    if (comm.rank() == 1) throw Error("no such dtype");
    comm.Barrier();
  };
  try {
    RunThreadRanks({.world_size = GetParam()}, refuse);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "rank 1: no such dtype");
  }
}

// F22: a rank that never comes back does not keep the process.
TEST_P(Faults, AHangingRankEndsTheProcess) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto hang = [](Communicator& comm) {
    if (comm.rank() == 0) std::this_thread::sleep_for(std::chrono::hours(1));
    comm.Barrier();
  };
  const ThreadRanksOptions options{.world_size = GetParam(), .comm = {.timeout_s = 0.2}};
  EXPECT_EXIT(RunThreadRanks(options, hang), ::testing::ExitedWithCode(kDeadlineExitCode),
              "rank 0 does not respond");
}

INSTANTIATE_TEST_SUITE_P(Threads, Faults, ::testing::Values(2, 3, 4));

TEST(ThreadCommunicator, ASendWaitsForItsReceiveInRendezvousMode) {
  std::atomic<bool> is_sent = false;
  RunThreadRanks({.world_size = 2, .comm = {.send_mode = SendMode::kRendezvous}},
                 [&](Communicator& comm) {
                   std::vector<double> data(1000, comm.rank());
                   if (comm.rank() == 0) {
                     comm.Send({data.data(), 1000, DType::kFloat64}, {.rank = 1});
                     is_sent = true;
                   } else {
                     std::this_thread::sleep_for(std::chrono::milliseconds(50));
                     EXPECT_FALSE(is_sent);
                     comm.Recv({data.data(), 1000, DType::kFloat64}, {.rank = 0});
                     EXPECT_EQ(data, std::vector<double>(1000, 0.0));
                   }
                 });
}

TEST(ThreadCommunicator, ASendEndsBeforeItsReceiveInBufferedMode) {
  std::atomic<bool> is_sent = false;
  RunThreadRanks({.world_size = 2, .comm = {.send_mode = SendMode::kBuffered}},
                 [&](Communicator& comm) {
                   std::vector<double> data(1000, comm.rank());
                   if (comm.rank() == 0) {
                     comm.Send({data.data(), 1000, DType::kFloat64}, {.rank = 1});
                     // The memory is the sender's again.
                     std::fill(data.begin(), data.end(), -1.0);
                     is_sent = true;
                     is_sent.notify_all();
                   } else {
                     is_sent.wait(false);
                     comm.Recv({data.data(), 1000, DType::kFloat64}, {.rank = 0});
                     EXPECT_EQ(data, std::vector<double>(1000, 0.0));
                   }
                 });
}

TEST(ThreadCommunicator, RefusesWhatTheCpuCannotReduce) {
  EXPECT_THROW(RunThreadRanks({.world_size = 2},
                              [](Communicator& comm) {
                                uint16_t x = 0;
                                comm.AllReduce({&x, 1, DType::kBFloat16}, ReduceOp::kSum);
                              }),
               Error);
  EXPECT_THROW(RunThreadRanks({.world_size = 0}, [](Communicator&) {}), Error);
}

TEST(ThreadCommunicator, ChecksNameTheRank) {
  std::atomic<int> ranks_seen = 0;
  RunThreadRanks({.world_size = 3}, [&](Communicator& comm) {
    EXPECT_EQ(CurrentRank(), comm.rank());
    ranks_seen += 1 << comm.rank();
  });
  EXPECT_EQ(ranks_seen, 7);
}

}  // namespace
}  // namespace sluice
