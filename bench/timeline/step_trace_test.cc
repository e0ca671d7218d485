#include "bench/timeline/step_trace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "bench/timeline/example_step.h"
#include "parallel/schedule/activation_usage.h"

namespace sluice {
namespace {

using nlohmann::json;

// What a reader of the format sees.
class Trace {
 public:
  explicit Trace(const std::vector<TimedStep>& steps) {
    const json trace = json::parse(TraceJson(steps));
    for (const json& event : trace.at("traceEvents")) {
      const std::string phase = event.at("ph");
      events_[phase].push_back(event);
      if (phase == "M" && event.at("name") == "process_name") {
        processes_.push_back(event.at("args").at("name"));
      }
    }
  }

  const std::vector<json>& Of(const std::string& phase) { return events_[phase]; }
  const std::vector<std::string>& processes() const { return processes_; }

  bool IsInsideASlice(const json& arrow) {
    return std::ranges::any_of(Of("X"), [&](const json& slice) {
      const double begin = slice.at("ts"), end = begin + slice.at("dur").get<double>();
      return slice.at("pid") == arrow.at("pid") && slice.at("tid") == arrow.at("tid") &&
             begin < arrow.at("ts") && arrow.at("ts") < end;
    });
  }

 private:
  std::map<std::string, std::vector<json>> events_;
  std::vector<std::string> processes_;
};

constexpr ScheduleShape kShape = {.num_ranks = 2, .num_micro_batches = 3};

TEST(StepTrace, HasAProcessForEachRankPredictedAndMeasured) {
  EXPECT_EQ(Trace({ExampleStep("gpipe", kShape)}).processes(),
            (std::vector<std::string>{"predicted rank 0: gpipe", "predicted rank 1: gpipe",
                                      "measured rank 0: gpipe", "measured rank 1: gpipe"}));
}

TEST(StepTrace, ProcessesOfComparedStepsDoNotCollide) {
  Trace trace({ExampleStep("gpipe", kShape), ExampleStep("one_f_one_b", kShape)});
  std::vector<int> ids;
  for (const json& event : trace.Of("M")) {
    if (event.at("name") == "process_name") ids.push_back(event.at("pid"));
  }
  EXPECT_EQ(ids, (std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST(StepTrace, SlicesHaveNamesTimesAndArguments) {
  Trace trace({ExampleStep("gpipe", kShape)});
  // Compute ops twice, the transfers once, and measured waits.
  const auto is_compute = [](const json& slice) { return slice.at("tid") == 1; };
  EXPECT_EQ(std::ranges::count_if(trace.Of("X"), is_compute), 2 * 2 * 3 * 2);
  const auto found = std::ranges::find_if(trace.Of("X"), [](const json& slice) {
    return slice.at("name") == "F1.0.0" && slice.at("pid") == 2;
  });
  ASSERT_NE(found, trace.Of("X").end());
  EXPECT_DOUBLE_EQ(found->at("ts"), 1100);  // after the forward of stage 0 and the message
  EXPECT_DOUBLE_EQ(found->at("dur"), 1000);
  EXPECT_EQ(found->at("args"), json::parse(R"({"stage": 1, "micro_batch": 0, "slice": 0,
      "layers": "2-3", "activation_bytes": 3145728, "predicted_us": 1000.0})"));
}

TEST(StepTrace, TransfersHaveATrackForEachChannel) {
  Trace trace({ExampleStep("gpipe", kShape)});
  std::map<std::string, int> slices_of_track;
  for (const json& track : trace.Of("M")) {
    if (track.at("name") != "thread_name") continue;
    for (const json& slice : trace.Of("X")) {
      if (slice.at("pid") == track.at("pid") && slice.at("tid") == track.at("tid")) {
        ++slices_of_track[track.at("args").at("name")];
      }
    }
  }
  EXPECT_EQ(slices_of_track["to rank 1"], 3);
  EXPECT_EQ(slices_of_track["from rank 1"], 3);
  EXPECT_EQ(slices_of_track["to rank 0"], 3);
  EXPECT_EQ(slices_of_track["from rank 0"], 3);
  EXPECT_GT(slices_of_track["waits for messages"], 0);
}

TEST(StepTrace, ArrowsLeadFromInsideOneSliceToInsideALaterOne) {
  for (const char* scheme : {"gpipe", "zero_bubble_h1", "zero_bubble_v"}) {
    Trace trace({ExampleStep(scheme, {.num_ranks = 2, .num_micro_batches = 4})});
    ASSERT_FALSE(trace.Of("s").empty());
    ASSERT_EQ(trace.Of("s").size(), trace.Of("f").size());
    std::map<int, json> starts;
    for (const json& start : trace.Of("s")) starts[start.at("id")] = start;
    EXPECT_EQ(starts.size(), trace.Of("s").size());
    for (const json& end : trace.Of("f")) {
      const json& start = starts.at(end.at("id"));
      EXPECT_LT(start.at("ts"), end.at("ts"));
      EXPECT_NE(start.at("pid"), end.at("pid"));
      EXPECT_TRUE(trace.IsInsideASlice(start));
      EXPECT_TRUE(trace.IsInsideASlice(end));
    }
  }
}

TEST(StepTrace, CountersReachThePeakActivation) {
  const TimedStep step = ExampleStep("one_f_one_b", {.num_ranks = 3, .num_micro_batches = 4});
  Trace trace({step});
  std::map<int, double> peak_mib;
  for (const json& counter : trace.Of("C")) {
    double& peak = peak_mib[counter.at("pid")];
    peak = std::max(peak, counter.at("args").at("MiB").get<double>());
  }
  for (int rank = 0; rank < 3; ++rank) {
    const double mib =
        static_cast<double>(PeakActivationBytes(step.schedule, rank, step.activation_bytes)) /
        (1 << 20);
    EXPECT_DOUBLE_EQ(peak_mib[1 + rank], mib);
    EXPECT_DOUBLE_EQ(peak_mib[4 + rank], mib);
  }
}

}  // namespace
}  // namespace sluice
