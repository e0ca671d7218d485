#include "parallel/schedule/simulate.h"

#include <gtest/gtest.h>

#include "parallel/schedule/schedule_text.h"

namespace sluice {
namespace {

// Two stages, one micro-batch of two slices, forward only. A rank receives one unit ahead.
constexpr char kForward[] =
    "schedule num_stages=2 num_ranks=2 num_micro_batches=1 num_slices=2 pass=forward\n"
    "rank_of_stage 0 1\n"
    "rank 0: F0.0.0 SA0.0.0 F0.0.1 SA0.0.1\n"
    "rank 1: RA1.0.0 RA1.0.1 F1.0.0 F1.0.1\n";

void ExpectTimes(const std::vector<OpTime>& times,
                 const std::vector<std::pair<double, double>>& expected) {
  ASSERT_EQ(times.size(), expected.size());
  for (size_t i = 0; i < times.size(); ++i) {
    EXPECT_EQ(times[i].start_s, expected[i].first) << "op " << i;
    EXPECT_EQ(times[i].end_s, expected[i].second) << "op " << i;
  }
}

// A unit takes 3 on rank 0 and 4 on rank 1, a transfer 1 + 4 / 4 = 2.
TEST(Simulate, TimesOpsAndTransfers) {
  const SimulationCosts costs = {
      .compute_s = [](const Op& op) { return op.unit.stage == 0 ? 3.0 : 4.0; },
      .transfer_bytes = [](const Op&) { return 4; },
      .link = [](const Edge&) { return LinkCost{.latency_s = 1, .bytes_per_s = 4}; }};
  const Simulation simulation = Simulate(ParseSchedule(kForward), costs);
  // Rank 0 sends while it computes; rank 1 starts at 5 and has its second input long before it
  // needs it.
  ExpectTimes(simulation.op_times[0], {{0, 3}, {3, 5}, {3, 6}, {6, 8}});
  ExpectTimes(simulation.op_times[1], {{3, 5}, {6, 8}, {5, 9}, {9, 13}});
  EXPECT_EQ(simulation.makespan_s, 13);
  EXPECT_EQ(simulation.ranks[0].busy_s, 6);
  EXPECT_EQ(simulation.ranks[0].idle_s, 0);
  EXPECT_EQ(simulation.ranks[1].start_s, 5);
  EXPECT_EQ(simulation.ranks[1].end_s, 13);
  EXPECT_EQ(simulation.bubble_fraction, 1 - 14.0 / 26.0);
  ASSERT_EQ(simulation.edges.size(), 1u);
  EXPECT_EQ(simulation.edges[0].edge, (Edge{0, 1}));
  EXPECT_EQ(simulation.edges[0].num_transfers, 2);
  EXPECT_EQ(simulation.edges[0].bytes, 8);
}

// Rank 1 posts its second receive only after its first unit.
TEST(Simulate, RendezvousWaitsForTheReceive) {
  constexpr char kLate[] =
      "schedule num_stages=2 num_ranks=2 num_micro_batches=1 num_slices=2 pass=forward\n"
      "rank_of_stage 0 1\n"
      "rank 0: F0.0.0 SA0.0.0 F0.0.1 SA0.0.1\n"
      "rank 1: RA1.0.0 F1.0.0 RA1.0.1 F1.0.1\n";
  const SimulationCosts costs = {
      .compute_s = [](const Op& op) { return op.unit.stage == 0 ? 1.0 : 10.0; },
      .link = [](const Edge&) { return LinkCost{.latency_s = 2}; }};
  const Schedule schedule = ParseSchedule(kLate);
  ExpectTimes(Simulate(schedule, costs).op_times[1], {{1, 3}, {3, 13}, {13, 15}, {15, 25}});
  ExpectTimes(Simulate(schedule, costs, {.sends = SendSemantics::kBuffered}).op_times[1],
              {{1, 3}, {3, 13}, {3, 13}, {13, 23}});
}

// One queue: rank 0's second forward waits until its first send has ended.
TEST(Simulate, SingleQueueWaitsForEachOp) {
  const SimulationCosts costs = {.compute_s = [](const Op&) { return 1.0; },
                                 .link = [](const Edge&) { return LinkCost{.latency_s = 2}; }};
  const Simulation simulation =
      Simulate(ParseSchedule(kForward), costs, {.queues = QueueSemantics::kSingle});
  ExpectTimes(simulation.op_times[0], {{0, 1}, {1, 3}, {3, 4}, {4, 6}});
  ExpectTimes(simulation.op_times[1], {{1, 3}, {4, 6}, {6, 7}, {7, 8}});
}

TEST(Simulate, OneChannelCarriesOneTransferAtATime) {
  const SimulationCosts costs = {.compute_s = [](const Op&) { return 1.0; },
                                 .link = [](const Edge&) { return LinkCost{.latency_s = 5}; }};
  const Simulation simulation = Simulate(ParseSchedule(kForward), costs);
  ExpectTimes(simulation.op_times[1], {{1, 6}, {6, 11}, {6, 7}, {11, 12}});
  EXPECT_EQ(simulation.ranks[1].idle_s, 4);
}

TEST(Simulate, KeepsActivationsUntilTheirLastUse) {
  const auto peak = [](std::string_view ops, const char* pass) {
    const Schedule schedule = ParseSchedule(
        std::string("schedule num_stages=1 num_ranks=1 num_micro_batches=2 num_slices=2 pass=") +
        pass + "\nrank_of_stage 0\nrank 0: " + std::string(ops) + "\n");
    const SimulationCosts costs = {
        .compute_s = [](const Op&) { return 1.0; },
        .activation_bytes = [](const Unit& unit) { return unit.slice == 0 ? 10 : 1; }};
    return Simulate(schedule, costs).ranks[0].peak_activation_bytes;
  };
  EXPECT_EQ(peak("F0.0.0 F0.0.1 BW0.0.1 BW0.0.0 F0.1.0 F0.1.1 BW0.1.1 BW0.1.0", "step"), 11);
  EXPECT_EQ(peak("F0.0.0 F0.0.1 F0.1.0 F0.1.1 BW0.1.1 BW0.1.0 BW0.0.1 BW0.0.0", "step"), 22);
  // The weight gradients of the first micro-batch keep its activations while the second goes
  // forward.
  EXPECT_EQ(peak("F0.0.0 F0.0.1 B0.0.1 B0.0.0 W0.0.1 F0.1.0 F0.1.1 W0.0.0 BW0.1.1 BW0.1.0", "step"),
            21);
  // A forward pass keeps the slices of one micro-batch.
  EXPECT_EQ(peak("F0.0.0 F0.0.1 F0.1.0 F0.1.1", "forward"), 11);
}

}  // namespace
}  // namespace sluice
