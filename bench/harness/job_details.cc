#include "bench/harness/job_details.h"

#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

#include "parallel/exec/unit_layout.h"
#include "parallel/schedule/schedule_text.h"
#include "parallel/schedule/simulate.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

// The rank of the job at `pipeline` in the copy of the pipeline that `rank` is part of.
int RankInPipeline(const JobPlan& plan, RankCoordinates rank, int pipeline) {
  rank.pipeline = pipeline;
  return RankOf(rank, plan.config.sizes);
}

Json ScheduleJson(const JobPlan& plan) {
  const Schedule& schedule = plan.schedule;
  return {{"num_micro_batches", schedule.num_micro_batches},
          {"num_slices", schedule.num_slices},
          {"rank_of_stage", schedule.rank_of_stage}};
}

Json BytesJson(const RankBytes& bytes) {
  return {{"weights", bytes.weights},         {"weight_gradients", bytes.weight_gradients},
          {"activations", bytes.activations}, {"activation_gradients", bytes.activation_gradients},
          {"scratch", bytes.scratch},         {"input", bytes.input},
          {"kernels", bytes.kernels}};
}

Json TrafficJson(const Traffic& traffic) {
  return {{"count", traffic.count}, {"bytes", traffic.bytes}};
}

// [passes] of one rank.
template <typename ValueOf>
Json EachPass(const OpTimes& times, const ValueOf& value_of) {
  Json values = Json::array();
  for (size_t pass = 0; pass < times.num_passes(); ++pass) {
    values.push_back(value_of(times.SumsOf(pass)));
  }
  return values;
}

void AddTimes(const OpTimes& times, Json* rank) {
  (*rank)["busy_ns"] = EachPass(times, [](const PassSums& sums) { return sums.busy_ns; });
  constexpr std::pair<const char*, Activity> kCommunication[] = {
      {"messages_ns", Activity::kMessages},
      {"tensor_collectives_ns", Activity::kTensorCollectives},
      {"data_collectives_ns", Activity::kDataCollectives}};
  for (const auto& [key, activity] : kCommunication) {
    (*rank)[key] = EachPass(times, [&](const PassSums& sums) { return sums.Of(activity); });
  }
}

Json OpsJson(const JobPlan& plan, const RankCoordinates& rank, const OpTimes* times) {
  const UnitLayout layout(plan, rank);
  std::vector<std::vector<OpSample>> samples;  // [kept passes][ops]
  for (size_t pass = 0; times != nullptr && pass < times->num_kept_passes(); ++pass) {
    samples.push_back(times->OpsOf(pass));
  }
  Json ops = Json::array();
  const std::vector<Op>& list = plan.schedule.ops_of_rank[static_cast<size_t>(rank.pipeline)];
  for (size_t i = 0; i < list.size(); ++i) {
    Json op = {{"op", FormatOp(list[i])}};
    if (!IsCompute(list[i].kind)) {
      op["peer"] = RankInPipeline(plan, rank, PeerRank(plan.schedule, list[i]));
      op["bytes"] = layout.message_bytes(list[i].unit.slice);
    } else if (times != nullptr) {
      for (const std::vector<OpSample>& pass : samples) {
        op["start_ns"].push_back(pass[i].start_ns);
        op["duration_ns"].push_back(pass[i].duration_ns);
      }
    }
    ops.push_back(std::move(op));
  }
  return ops;
}

Json RankJson(const JobPlan& plan, const MemoryPlan& memory, const Measurement& m, int rank) {
  const RankCoordinates place = CoordinatesOf(rank, plan.config.sizes);
  const RankUse& use = m.of_rank[static_cast<size_t>(rank)];
  const OpTimes* times =
      m.usable_op_times() ? &m.job_times->of_rank[static_cast<size_t>(rank)] : nullptr;
  Json json = {{"rank", rank},
               {"pipeline", place.pipeline},
               {"tensor", place.tensor},
               {"data", place.data},
               {"peak_bytes", BytesJson(memory.OfRank(rank))},
               {"allocated_bytes", use.allocated_bytes},
               {"sends", TrafficJson(use.traffic.sends)},
               {"tensor_collectives", TrafficJson(use.traffic.tensor_collectives)},
               {"data_collectives", TrafficJson(use.traffic.data_collectives)}};
  if (times != nullptr) AddTimes(*times, &json);
  json["ops"] = OpsJson(plan, place, times);
  return json;
}

Json EdgesJson(const JobPlan& plan) {
  const UnitLayout layout(plan, {});
  const std::vector<EdgeTraffic> edges = TrafficOf(
      plan.schedule, [&](const Op& send) { return layout.message_bytes(send.unit.slice); });
  Json json = Json::array();
  for (int data = 0; data < plan.config.sizes.data; ++data) {
    for (int tensor = 0; tensor < plan.config.sizes.tensor; ++tensor) {
      for (const EdgeTraffic& edge : edges) {
        const RankCoordinates copy = {.tensor = tensor, .data = data};
        json.push_back({{"from", RankInPipeline(plan, copy, edge.edge.from_rank)},
                        {"to", RankInPipeline(plan, copy, edge.edge.to_rank)},
                        {"count", edge.num_transfers},
                        {"bytes", edge.bytes}});
      }
    }
  }
  return json;
}

}  // namespace

std::string JobDetails(const JobPlan& plan, const MemoryPlan& memory, const Measurement& m) {
  Json json = {{"schedule", ScheduleJson(plan)}};
  if (m.usable_op_times()) {
    for (const double pass_s : m.job_times->pass_s) {
      json["pass_ns"].push_back(std::llround(pass_s * 1e9));
    }
  }
  json["edges"] = EdgesJson(plan);
  json["ranks"] = Json::array();
  for (int rank = 0; rank < m.world_size; ++rank) {
    json["ranks"].push_back(RankJson(plan, memory, m, rank));
  }
  return json.dump();
}

}  // namespace sluice
