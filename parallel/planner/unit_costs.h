// Unit costs: the measured times from which the time of every op of every plan is computed
// (op_costs.h). //bench/unit_costs measures them and writes them to a file; the planner reads it.
//
// An op of a stage with n layers, on a slice of len tokens behind prefix_len cached ones, in a
// micro-batch of b sequences, on one of t tensor-parallel ranks, takes
//
//   launch(kind) + n (linear(kind, t, len b) + attention(kind, t, b, len, prefix_len))
//       + end(kind, len b) on the first and on the last stage.
//
// All times are without communication: collectives are priced from links (links.h).
//
// The file is JSON with the fields of UnitCosts. Kinds are forward, backward (whole),
// input_gradient and weight_gradient:
//
//   {"format": "sluice unit costs 1",
//    "conditions": {"device": "cuda", "device_name": "NVIDIA H200", "dtype": "bf16",
//                   "attention": "default", "kernels": "standard", "threads": 1,
//                   "num_concurrent_ranks": 1, "commit": "9ebc55d27983...", "tree": "clean",
//                   "date": "2026-12-01T17:00:00Z", "clock_mhz": [1980], "power_w": [640.5]},
//    "model": {"name": "gpt3-13b", "num_layers": 40, "hidden_size": 5120, "seq_len": 2048,
//              "num_heads": 40},
//    "launch": [{"kind": "forward", "samples_s": [4e-6]}],
//    "linear": [{"kind": "forward", "tensor_parallel_size": 1, "num_tokens": 64,
//                "samples_s": [1e-4, 1.1e-4]}],
//    "attention": [{"kind": "forward", "tensor_parallel_size": 1, "micro_batch_size": 1,
//                   "slice_len": 64, "prefix_len": 0, "samples_s": [1e-5]}],
//    "ends": [{"kind": "forward", "end": "last", "num_tokens": 64, "samples_s": [1e-6]}],
//    "held_out": [{"kind": "forward", "num_layers": 4, "tensor_parallel_size": 1,
//                  "micro_batch_size": 1, "slice_len": 192, "prefix_len": 64,
//                  "predicted_s": 4e-4, "samples_s": [4.1e-4]}]}
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/model_config.h"
#include "parallel/schedule/schedule.h"

namespace sluice {

struct CostConditions {
  std::string device;       // "cpu" or "cuda"
  std::string device_name;  // "NVIDIA H200"
  std::string dtype;        // the name of a Precision
  std::string attention;    // --attention
  std::string kernels;      // --kernels
  int threads = 1;          // of each rank, on the CPU
  // Ranks of one host that computed at the same time during the measurement and shared its memory
  // bandwidth.
  int num_concurrent_ranks = 1;
  std::string commit;
  std::string tree;               // "clean" or "dirty"
  std::string date;               // UTC, ISO 8601
  std::vector<double> clock_mhz;  // samples during the measurement; empty if they are not known
  std::vector<double> power_w;    // likewise
};

// Seconds of an op beyond those of its layers, such as the start of its first kernel.
struct LaunchCost {
  OpKind kind = OpKind::kForward;
  std::vector<double> samples_s;
};

// Seconds of one layer without attention, on one of `tensor_parallel_size` ranks.
struct LinearCost {
  OpKind kind = OpKind::kForward;
  int tensor_parallel_size = 1;
  int64_t num_tokens = 0;  // slice_len x micro_batch_size
  std::vector<double> samples_s;
};

// Seconds of the attention of one layer, likewise. A weight gradient has none.
struct AttentionCost {
  OpKind kind = OpKind::kForward;
  int tensor_parallel_size = 1;
  int64_t micro_batch_size = 1;
  int64_t slice_len = 0;
  int64_t prefix_len = 0;
  std::vector<double> samples_s;
};

enum class StageEnd { kFirst, kLast };

// Seconds that an op of the first stage or of the last one (which has the loss) takes in addition.
struct EndCost {
  OpKind kind = OpKind::kForward;
  StageEnd end = StageEnd::kLast;
  int64_t num_tokens = 0;
  std::vector<double> samples_s;
};

// An op that was measured but not used for the tables, and what they predict for it.
struct HeldOutCost {
  OpKind kind = OpKind::kForward;
  int64_t num_layers = 1;
  int tensor_parallel_size = 1;
  int64_t micro_batch_size = 1;
  int64_t slice_len = 0;
  int64_t prefix_len = 0;
  double predicted_s = 0;
  std::vector<double> samples_s;
};

struct UnitCosts {
  CostConditions conditions;
  ModelConfig model;
  std::vector<LaunchCost> launch;
  std::vector<LinearCost> linear;
  std::vector<AttentionCost> attention;
  std::vector<EndCost> ends;
  std::vector<HeldOutCost> held_out;
};

// Query-key pairs of one layer's attention on one rank: the work that its time is divided by.
// `num_heads` are those of the rank.
double AttentionPairs(double num_heads, const AttentionCost& point);

// Throws Error naming `file` and the field if the text is not such a file, a number is out of range
// or there is no linear forward. Every list of samples has at least one, and all are positive.
UnitCosts ParseUnitCosts(std::string_view text, const std::string& file);
UnitCosts ReadUnitCosts(const std::string& path);

// The inverse of ParseUnitCosts; one line for each point.
std::string FormatUnitCosts(const UnitCosts& costs);

}  // namespace sluice
