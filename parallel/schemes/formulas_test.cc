// The schemes against their published idle time and memory, for every shape of up to 8 ranks, 8
// micro-batches, 8 slices and 4 chunks that they allow. Costs are small integers, so that sums are
// exact and the comparison is ==.
#include "parallel/schemes/formulas.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>

#include "core/base/error.h"
#include "parallel/schedule/communication.h"
#include "parallel/schedule/find_error.h"
#include "parallel/schedule/simulate.h"
#include "parallel/schemes/schemes.h"

namespace sluice {
namespace {

constexpr int kMaxNumRanks = 8;
constexpr int kMaxNumMicroBatches = 8;
constexpr int kMaxNumSlices = 8;
constexpr int kMaxNumChunks = 4;

// Seconds of one unit, whatever its stage.
struct UnitCost {
  double forward_s;
  double input_s;   // of the backward: the gradient of the input
  double weight_s;  // of the backward: the gradients of the weights

  double Total() const { return forward_s + input_s + weight_s; }

  double Of(const Op& op) const {
    switch (op.kind) {
      case OpKind::kForward:
        return forward_s;
      case OpKind::kBackwardInput:
        return input_s;
      case OpKind::kBackwardWeight:
        return weight_s;
      default:
        return input_s + weight_s;
    }
  }
};

// The published rules, written once more.
bool Allows(const Scheme& scheme, const ScheduleShape& shape) {
  const int p = shape.num_ranks;
  if (scheme.name == "interleaved_one_f_one_b") return shape.num_micro_batches % p == 0;
  if (scheme.name.starts_with("seq_interleaved")) return shape.num_slices % p == 0;
  if (scheme.name == "zero_bubble_v") return shape.num_micro_batches >= 2 * p - 1;
  if (scheme.name == "dualpipe_v") return shape.num_micro_batches >= 2 * p;
  return true;
}

// All shapes up to the limits that `scheme` allows.
std::vector<ScheduleShape> AllShapes(const Scheme& scheme) {
  const auto limit = [&](ShapeField use, int max) { return (scheme.shape_fields & use) ? max : 1; };
  std::vector<ScheduleShape> shapes;
  for (int p = 1; p <= limit(kUsesRanks, kMaxNumRanks); ++p) {
    for (int m = 1; m <= limit(kUsesMicroBatches, kMaxNumMicroBatches); ++m) {
      for (int n = 1; n <= limit(kUsesSlices, kMaxNumSlices); ++n) {
        for (int v = 1; v <= limit(kUsesChunks, kMaxNumChunks); ++v) {
          const ScheduleShape shape = {p, m, n, v};
          if (Allows(scheme, shape)) shapes.push_back(shape);
        }
      }
    }
  }
  return shapes;
}

std::string Describe(const ScheduleShape& shape) {
  return testing::PrintToString(std::vector<int>{shape.num_ranks, shape.num_micro_batches,
                                                 shape.num_slices, shape.num_chunks}) +
         " ranks, micro-batches, slices, chunks";
}

// Every unit's activation counts 1 byte.
Simulation SimulateUnits(const Scheme& scheme, const ScheduleShape& shape,
                         const std::function<double(const Op&)>& compute_s) {
  const Schedule schedule = AddCommunication(BuildSchedule(scheme, shape));
  return Simulate(schedule,
                  {.compute_s = compute_s, .activation_bytes = [](const Unit&) { return 1; }});
}

Simulation SimulateEqualUnits(const Scheme& scheme, const ScheduleShape& shape,
                              const UnitCost& cost) {
  return SimulateUnits(scheme, shape, [&](const Op& op) { return cost.Of(op); });
}

// The makespan less the time that a rank computes.
double IdleTime(const Simulation& simulation) {
  return simulation.makespan_s - simulation.ranks[0].busy_s;
}

// Expects an idle time of (p-1) units, and on rank r a peak of `peak_units(shape, r)`.
void ExpectIdleTimeAndPeak(std::string_view name,
                           const std::function<int(const ScheduleShape&, int rank)>& peak_units) {
  const Scheme& scheme = FindScheme(name);
  int num_shapes = 0;
  for (const ScheduleShape& shape : AllShapes(scheme)) {
    for (const UnitCost& cost : {UnitCost{2, 4, 1}, UnitCost{1, 1, 1}, UnitCost{3, 1, 4}}) {
      SCOPED_TRACE(Describe(shape));
      const Simulation simulation = SimulateEqualUnits(scheme, shape, cost);
      EXPECT_EQ(IdleTime(simulation), (shape.num_ranks - 1) * cost.Total());
      for (int rank = 0; rank < shape.num_ranks; ++rank) {
        EXPECT_EQ(simulation.ranks[rank].peak_activation_bytes, peak_units(shape, rank));
      }
    }
    ++num_shapes;
  }
  EXPECT_GE(num_shapes, 40);  // an empty list would agree with anything
}

TEST(Formulas, Single) {
  ExpectIdleTimeAndPeak("single", [](const ScheduleShape& s, int) { return s.num_slices; });
}

TEST(Formulas, Gpipe) {
  ExpectIdleTimeAndPeak("gpipe", [](const ScheduleShape& s, int) { return s.num_micro_batches; });
}

TEST(Formulas, OneFOneB) {
  ExpectIdleTimeAndPeak("one_f_one_b", [](const ScheduleShape& s, int rank) {
    return std::min(s.num_ranks - rank, s.num_micro_batches);
  });
}

// The idle time is p-1 units, each 1/v of a rank's work; the peak p M (1 + (p-1)/(p v)) is p v + p
// - 1 units.
TEST(Formulas, InterleavedOneFOneB) {
  ExpectIdleTimeAndPeak("interleaved_one_f_one_b", [](const ScheduleShape& s, int rank) {
    const int p = s.num_ranks;
    return std::min(2 * (p - rank - 1) + (s.num_chunks - 1) * p + 1,
                    s.num_micro_batches * s.num_chunks);
  });
}

TEST(Formulas, Seqpipe) {
  ExpectIdleTimeAndPeak(
      "seqpipe", [](const ScheduleShape& s, int) { return s.num_micro_batches * s.num_slices; });
}

TEST(Formulas, SeqOneFOneB) {
  ExpectIdleTimeAndPeak("seq_one_f_one_b", [](const ScheduleShape& s, int rank) {
    return std::min(s.num_ranks - rank + s.num_slices - 1, s.num_micro_batches * s.num_slices);
  });
}

TEST(Formulas, SeqInterleaved) {
  ExpectIdleTimeAndPeak("seq_interleaved", [](const ScheduleShape& s, int rank) {
    const int num_units_of_micro_batch = s.num_slices * s.num_chunks;
    return std::min(num_units_of_micro_batch + s.num_ranks - 1 - rank,
                    s.num_micro_batches * num_units_of_micro_batch);
  });
}

// For the zero-bubble schemes, whose formulas hold where W is no longer than F and B.
const std::vector<UnitCost> kSplitCosts = {{1, 1, 1}, {2, 2, 1}, {3, 4, 2}, {5, 8, 2}};

double MaxIdle(const Simulation& simulation) {
  double idle_s = 0;
  for (const RankUsage& usage : simulation.ranks) idle_s = std::max(idle_s, usage.idle_s);
  return idle_s;
}

void ExpectPeakOnEveryRank(const Simulation& simulation, int peak_units) {
  for (const RankUsage& usage : simulation.ranks) {
    EXPECT_EQ(usage.peak_activation_bytes, peak_units);
  }
}

TEST(Formulas, ZeroBubbleH1) {
  for (int p = 1; p <= kMaxNumRanks; ++p) {
    for (int m = p; m <= p + kMaxNumMicroBatches; ++m) {
      for (const UnitCost& cost : kSplitCosts) {
        const ScheduleShape shape = {p, m};
        SCOPED_TRACE(Describe(shape));
        const Simulation simulation = SimulateEqualUnits(FindScheme("zero_bubble_h1"), shape, cost);
        EXPECT_EQ(IdleTime(simulation), (p - 1) * (cost.forward_s + cost.input_s - cost.weight_s));
        ExpectPeakOnEveryRank(simulation, p);
      }
    }
  }
}

TEST(Formulas, ZeroBubbleH2) {
  for (int p = 1; p <= kMaxNumRanks; ++p) {
    for (int m = 2 * p - 1; m <= 2 * p + kMaxNumMicroBatches; ++m) {
      for (const UnitCost& cost : kSplitCosts) {
        const ScheduleShape shape = {p, m};
        SCOPED_TRACE(Describe(shape));
        const Simulation simulation = SimulateEqualUnits(FindScheme("zero_bubble_h2"), shape, cost);
        EXPECT_EQ(MaxIdle(simulation),
                  (p - 1) * (cost.forward_s + cost.input_s - 2 * cost.weight_s));
        ExpectPeakOnEveryRank(simulation, 2 * p - 1);
      }
    }
  }
}

// Each unit is half of a rank's work on a micro-batch, so the peak of p M is 2p units.
TEST(Formulas, ZeroBubbleV) {
  for (int p = 1; p <= kMaxNumRanks; ++p) {
    for (int m = 2 * p - 1; m <= 2 * p + kMaxNumMicroBatches; ++m) {
      const ScheduleShape shape = {p, m};
      SCOPED_TRACE(Describe(shape));
      const Simulation simulation =
          SimulateEqualUnits(FindScheme("zero_bubble_v"), shape, {1, 1, 1});
      EXPECT_EQ(MaxIdle(simulation), 0);
      ExpectPeakOnEveryRank(simulation, 2 * p);
    }
  }
}

// The idle time is that of zero_bubble_h1 in units of a slice, and of a chunk where there are
// several; `units_of_micro_batch` are one micro-batch's on a rank.
void ExpectSplitIdleTimeAndPeak(std::string_view name,
                                int (*units_of_micro_batch)(const ScheduleShape&)) {
  const Scheme& scheme = FindScheme(name);
  int num_shapes = 0;
  for (const ScheduleShape& shape : AllShapes(scheme)) {
    const int p = shape.num_ranks;
    const int peak_units = units_of_micro_batch(shape) + p - 1;
    if (shape.num_micro_batches * units_of_micro_batch(shape) < peak_units) continue;
    for (const UnitCost& cost : kSplitCosts) {
      SCOPED_TRACE(Describe(shape));
      const Simulation simulation = SimulateEqualUnits(scheme, shape, cost);
      EXPECT_EQ(IdleTime(simulation), (p - 1) * (cost.forward_s + cost.input_s - cost.weight_s));
      ExpectPeakOnEveryRank(simulation, peak_units);
    }
    ++num_shapes;
  }
  EXPECT_GE(num_shapes, 40);
}

TEST(Formulas, SeqZeroBubbleH1) {
  ExpectSplitIdleTimeAndPeak("seq_zero_bubble_h1",
                             [](const ScheduleShape& s) { return s.num_slices; });
}

TEST(Formulas, SeqInterleavedZeroBubble) {
  ExpectSplitIdleTimeAndPeak("seq_interleaved_zero_bubble",
                             [](const ScheduleShape& s) { return s.num_slices * s.num_chunks; });
}

// What FormulaIdleTime says is what the simulator finds, to rounding.
TEST(Formulas, FormulaIdleTimeIsThatOfTheSimulator) {
  for (const Scheme& scheme : Schemes()) {
    int num_formulas = 0;
    for (const ScheduleShape& shape : AllShapes(scheme)) {
      const int num_chunks = NumStages(scheme, shape) / shape.num_ranks;
      const int num_units = shape.num_slices * num_chunks;  // of a micro-batch on a rank
      for (const UnitCost& cost : {UnitCost{3, 4, 2}, {2, 2, 1}}) {
        const std::optional<double> formula =
            FormulaIdleTime(scheme, shape,
                            {.forward = num_units * cost.forward_s,
                             .input_gradient = num_units * cost.input_s,
                             .weight_gradient = num_units * cost.weight_s});
        if (!formula) continue;
        SCOPED_TRACE(std::string(scheme.name) + ", " + Describe(shape));
        ASSERT_NEAR(IdleTime(SimulateEqualUnits(scheme, shape, cost)), *formula, 1e-9);
        ++num_formulas;
      }
    }
    const bool has_none = scheme.name == "zero_bubble_h2" || scheme.name == "zero_bubble_v" ||
                          scheme.name == "v_half" || scheme.name == "v_min";
    EXPECT_EQ(num_formulas == 0, has_none)
        << scheme.name << ": its row of scheme_table.inc, or the names here, are wrong";
  }
}

// Peaks are in chunks, of which a micro-batch has two on each rank: 1F1B holds up to 2p of them.
// With equal costs the idle time is at most three quarters of that of 1F1B, 6 (p-1) chunks.
void ExpectVPeak(std::string_view name, int (*peak_chunks)(int num_ranks)) {
  for (int p = 1; p <= 2 * kMaxNumRanks; ++p) {
    const ScheduleShape shape = {.num_ranks = p, .num_micro_batches = 4 * p};
    SCOPED_TRACE(Describe(shape));
    const Simulation simulation = SimulateEqualUnits(FindScheme(name), shape, {1, 1, 1});
    int64_t peak = 0, least = std::numeric_limits<int64_t>::max();
    for (const RankUsage& usage : simulation.ranks) {
      peak = std::max(peak, usage.peak_activation_bytes);
      least = std::min(least, usage.peak_activation_bytes);
    }
    EXPECT_EQ(peak, peak_chunks(p));
    EXPECT_LE(peak - least, 2);  // nearly even over ranks
    EXPECT_LE(IdleTime(simulation), 0.75 * 6 * (p - 1));
  }
}

// floor((p+4)/3) micro-batches.
TEST(Formulas, VMin) {
  ExpectVPeak("v_min", [](int p) { return 2 * ((p + 4) / 3); });
}

// floor((p+2)/2) micro-batches of the paper, and up to a chunk more: it also moves single ops.
TEST(Formulas, VHalf) {
  ExpectVPeak("v_half", [](int p) { return p % 2 == 0 ? p + 3 : p + 1; });
}

// The shares that the authors' own schedules have of the idle time of 1F1B, for which only the
// order of a rank's ops counts.
TEST(Formulas, IdleTimeOfVSchedulesAsAShareOfThatOf1F1B) {
  const auto share = [](std::string_view name, int p) {
    const ScheduleShape shape = {.num_ranks = p, .num_micro_batches = 4 * p};
    return IdleTime(SimulateEqualUnits(FindScheme(name), shape, {1, 1, 1})) / (6 * (p - 1));
  };
  EXPECT_NEAR(share("v_min", 4), 0.61, 0.005);
  EXPECT_NEAR(share("v_min", 8), 0.64, 0.005);
  EXPECT_NEAR(share("v_min", 16), 0.66, 0.005);
  EXPECT_NEAR(share("v_half", 4), 0.61, 0.005);
  EXPECT_NEAR(share("v_half", 8), 0.57, 0.005);
  EXPECT_NEAR(share("v_half", 16), 0.56, 0.005);
}

// The published idle time, (P/2 - 1) (F&B + B - 3W) with P stages and whole backwards B, takes the
// two halves of a pair to end together. Run one after the other, a pair's forward is sent on before
// its backward: then it is a bound, and where forwards are as long as input gradients (p-1) (F + B
// - W) are left, B of the input gradient. A rank holds P + 1 chunks.
TEST(Formulas, DualpipeV) {
  for (int p = 1; p <= kMaxNumRanks; ++p) {
    for (int m = 2 * p; m <= 2 * p + kMaxNumMicroBatches; ++m) {
      for (const UnitCost& cost : {UnitCost{1, 1, 1}, {2, 2, 1}, {3, 4, 2}, {5, 8, 2}}) {
        const ScheduleShape shape = {p, m};
        SCOPED_TRACE(Describe(shape));
        const Simulation simulation = SimulateEqualUnits(FindScheme("dualpipe_v"), shape, cost);
        const double whole_s = cost.input_s + cost.weight_s;
        EXPECT_LE(IdleTime(simulation),
                  (p - 1) * (cost.forward_s + whole_s + whole_s - 3 * cost.weight_s));
        ExpectPeakOnEveryRank(simulation, 2 * p + 1);
        if (cost.forward_s != cost.input_s) continue;
        EXPECT_EQ(IdleTime(simulation), (p - 1) * (cost.forward_s + cost.input_s - cost.weight_s));
      }
    }
  }
}

// With a barrier after the step it is the makespan that counts, and there h2 gains nothing.
TEST(Formulas, ZeroBubbleH2EndsWhenH1DoesIfAllPartsAreEqual) {
  const ScheduleShape shape = {.num_ranks = 4, .num_micro_batches = 8};
  for (const char* name : {"zero_bubble_h1", "zero_bubble_h2"}) {
    EXPECT_EQ(SimulateEqualUnits(FindScheme(name), shape, {1, 1, 1}).makespan_s, 27) << name;
  }
}

// Long sequences, where the gradients of the weights are the small part: F=1, B=1.6, W=0.4 on p=8,
// m=24.
TEST(Formulas, InterleavingBeatsZeroBubblesWhenWeightGradientsAreShort) {
  const auto percent = [](std::string_view name, int num_chunks, int num_units_per_rank) {
    const double share = 1.0 / num_units_per_rank;
    const Simulation simulation = SimulateEqualUnits(
        FindScheme(name), {.num_ranks = 8, .num_micro_batches = 24, .num_chunks = num_chunks},
        {share, 1.6 * share, 0.4 * share});
    return 100 * MaxIdle(simulation) / simulation.ranks[0].busy_s;
  };
  EXPECT_NEAR(percent("one_f_one_b", 1, 1), 29.2, 0.05);
  EXPECT_NEAR(percent("zero_bubble_h1", 1, 1), 21.4, 0.05);
  EXPECT_NEAR(percent("zero_bubble_h2", 1, 1), 17.5, 0.05);
  EXPECT_NEAR(percent("zero_bubble_v", 1, 2), 11.7, 0.05);
  EXPECT_NEAR(percent("interleaved_one_f_one_b", 4, 4), 7.3, 0.05);
}

// (p-1) times the longest slice, for the forward and the backward each.
TEST(Formulas, SeqpipeWithUnequalSlices) {
  const std::vector<double> forward_s = {3, 1, 7, 2, 2, 5, 4, 1};
  const std::vector<double> backward_s = {9, 2, 4, 4, 11, 1, 2, 3};
  const Scheme& scheme = FindScheme("seqpipe");
  for (const ScheduleShape& shape : AllShapes(scheme)) {
    SCOPED_TRACE(Describe(shape));
    const Simulation simulation = SimulateUnits(scheme, shape, [&](const Op& op) {
      return (op.kind == OpKind::kForward ? forward_s : backward_s)[op.unit.slice];
    });
    const int n = shape.num_slices;
    const double max_s = *std::max_element(forward_s.begin(), forward_s.begin() + n) +
                         *std::max_element(backward_s.begin(), backward_s.begin() + n);
    EXPECT_EQ(IdleTime(simulation), (shape.num_ranks - 1) * max_s);
  }
}

// The time over ideal, in percent, at p=8, m=4, n=8 when attention is 30 % of the work.
// `attention_share[k]` and `other_share[k]` are slice k's shares of attention and of the rest.
double PercentOverIdeal(std::string_view scheme, const std::vector<double>& attention_share,
                        const std::vector<double>& other_share) {
  const Simulation simulation =
      SimulateUnits(FindScheme(scheme), {.num_ranks = 8, .num_micro_batches = 4, .num_slices = 8},
                    [&](const Op& op) {
                      const int k = op.unit.slice;
                      return (op.kind == OpKind::kForward ? 1 : 2) *
                             (0.3 * attention_share[k] + 0.7 * other_share[k]);
                    });
  return 100 * IdleTime(simulation) / simulation.ranks[0].busy_s;
}

// Query k of T attends to k positions, so of n equal slices slice k has (2k+1)/n^2 of the
// attention.
TEST(Formulas, CausalAttentionMakesEqualSlicesUnequal) {
  std::vector<double> attention_share;
  for (int k = 0; k < 8; ++k) attention_share.push_back((2 * k + 1) / 64.0);
  const std::vector<double> equal_share(8, 1 / 8.0);
  EXPECT_NEAR(PercentOverIdeal("seqpipe", attention_share, equal_share), 27.6, 0.05);
  EXPECT_NEAR(PercentOverIdeal("seq_one_f_one_b", attention_share, equal_share), 47.3, 0.05);
  EXPECT_NEAR(PercentOverIdeal("seqpipe", equal_share, equal_share), 21.9, 0.05);
  EXPECT_NEAR(PercentOverIdeal("seq_one_f_one_b", equal_share, equal_share), 21.9, 0.05);
}

TEST(Schemes, RefuseExactlyWhatTheyDoNotAllow) {
  for (const Scheme& scheme : Schemes()) {
    for (int p = 1; p <= kMaxNumRanks; ++p) {
      for (int count = 1; count <= kMaxNumMicroBatches; ++count) {
        const ScheduleShape shape = {.num_ranks = (scheme.shape_fields & kUsesRanks) ? p : 1,
                                     .num_micro_batches = count,
                                     .num_slices = (scheme.shape_fields & kUsesSlices) ? count : 1};
        if (Allows(scheme, shape)) {
          EXPECT_NO_THROW(BuildSchedule(scheme, shape)) << scheme.name << ", " << Describe(shape);
        } else {
          EXPECT_THROW(BuildSchedule(scheme, shape), Error) << scheme.name << Describe(shape);
        }
      }
    }
  }
}

// All of them, in both passes, whether sends wait for their receives or not, however early receives
// are posted.
TEST(FindErrorInSchemes, FindsNothing) {
  for (const Scheme& scheme : Schemes()) {
    for (ScheduleShape shape : AllShapes(scheme)) {
      for (const Pass pass : {Pass::kForward, Pass::kStep}) {
        shape.pass = pass;
        const Schedule schedule = BuildSchedule(scheme, shape);
        for (const int recv_lookahead : {0, 1, 3}) {
          const Schedule lowered = AddCommunication(schedule, recv_lookahead);
          for (const auto sends : {SendSemantics::kBuffered, SendSemantics::kRendezvous}) {
            const std::optional<std::string> error = FindError(lowered, {.sends = sends});
            ASSERT_FALSE(error.has_value()) << scheme.name << ", " << Describe(shape) << "\n"
                                            << *error;
          }
        }
      }
    }
  }
}

// Lowered plainly, receive before, send after, one queue.
TEST(FindErrorInSchemes, OneQueuePerRankDeadlocksUnderRendezvousSends) {
  const ScheduleShape shape = {.num_ranks = 2, .num_micro_batches = 4};
  const auto find_error = [&](std::string_view scheme, SendSemantics sends) {
    return FindError(AddCommunication(BuildSchedule(FindScheme(scheme), shape), 0),
                     {sends, QueueSemantics::kSingle});
  };
  EXPECT_EQ(find_error("one_f_one_b", SendSemantics::kBuffered), std::nullopt);
  EXPECT_EQ(find_error("gpipe", SendSemantics::kBuffered), std::nullopt);
  EXPECT_EQ(find_error("gpipe", SendSemantics::kRendezvous), std::nullopt);
  const std::optional<std::string> error = find_error("one_f_one_b", SendSemantics::kRendezvous);
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(
      *error,
      "deadlock with rendezvous sends and one queue per rank: rank 0, position 3, SA0.1.0 waits "
      "for RA1.1.0 of rank 1, position 4; rank 1, position 3, SG1.0.0 waits for RG0.0.0 of rank "
      "0, position 4\n"
      "  rank 0: F0.0.0 SA0.0.0 F0.1.0 [SA0.1.0] RG0.0.0 BW0.0.0 F0.2.0 SA0.2.0 RG0.1.0 BW0.1.0 "
      "F0.3.0 SA0.3.0 ...\n"
      "  rank 1: RA1.0.0 F1.0.0 BW1.0.0 [SG1.0.0] RA1.1.0 F1.1.0 BW1.1.0 SG1.1.0 RA1.2.0 F1.2.0 "
      "BW1.2.0 SG1.2.0 ...");
}

// With two ranks and several chunks, a channel carries activations and gradients; a receive for
// each in the order in which its rank needs them would not match the order of the sends.
TEST(AddCommunication, MatchesTheOrderOfSendsOnAChannelOfBothKinds) {
  const ScheduleShape shape = {.num_ranks = 2, .num_micro_batches = 4, .num_chunks = 3};
  const Schedule schedule =
      AddCommunication(BuildSchedule(FindScheme("interleaved_one_f_one_b"), shape));
  std::vector<Op> sends, recvs;
  for (const Op& op : schedule.ops_of_rank[0]) {
    if (IsSend(op.kind)) sends.push_back(Counterpart(op));
  }
  for (const Op& op : schedule.ops_of_rank[1]) {
    if (IsRecv(op.kind)) recvs.push_back(op);
  }
  EXPECT_EQ(sends, recvs);
  EXPECT_TRUE(std::any_of(recvs.begin(), recvs.end(),
                          [](const Op& op) { return op.kind == OpKind::kRecvGradient; }));
}

// Transfers half as long as a unit are hidden when receives are posted a unit early; posted late,
// every one is waited for.
TEST(AddCommunication, EarlyReceivesOverlapCompute) {
  const ScheduleShape shape = {.num_ranks = 4, .num_micro_batches = 1, .num_slices = 32};
  const Schedule compute = BuildSchedule(FindScheme("seqpipe"), shape);
  const SimulationCosts costs = {.compute_s = [](const Op&) { return 2.0; },
                                 .link = [](const Edge&) { return LinkCost{.latency_s = 1}; }};
  // Each of the 3 edges is passed once forward and once back; everything else is hidden.
  const double hidden_s = 2 * (32 + 3) * 2.0 + 2 * 3 * 1.0;
  EXPECT_EQ(Simulate(AddCommunication(compute), costs).makespan_s, hidden_s);
  EXPECT_GT(Simulate(AddCommunication(compute, 0), costs).makespan_s, hidden_s + 32);
}

}  // namespace
}  // namespace sluice
