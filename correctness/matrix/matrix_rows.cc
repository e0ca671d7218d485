#include "correctness/matrix/matrix_rows.h"

#include <fmt/format.h>

#include <algorithm>

#include "parallel/schedule/slices.h"

namespace sluice {
namespace {

constexpr int64_t kMinSeqLen = 24;
constexpr int64_t kMinHeads = 6;
constexpr int64_t kHeadDim = 8;

// How a step is split over ranks.
struct Split {
  std::string scheme;
  ParallelSizes sizes;
  int num_micro_batches = 1;
  int num_chunks = 1;
  bool has_uneven_slices = false;
  PlanKind plan = PlanKind::kMegatron;
};

constexpr PlanKind kSequence = PlanKind::kMegatronSequenceParallel;

// One axis of all ranks.
std::vector<Split> SplitsOfOneAxis(int n) {
  return {
      {.scheme = "one_f_one_b", .sizes = {.pipeline = n}, .num_micro_batches = n},
      {.scheme = "seqpipe",
       .sizes = {.pipeline = n},
       .num_micro_batches = 2,
       .has_uneven_slices = true},
      {.scheme = "single", .sizes = {.tensor = n}, .num_micro_batches = 2},
      {.scheme = "single", .sizes = {.tensor = n}, .num_micro_batches = 2, .plan = kSequence},
      {.scheme = "gpipe", .sizes = {.pipeline = n}, .num_micro_batches = n},
      {.scheme = "zero_bubble_v", .sizes = {.pipeline = n}, .num_micro_batches = 2 * n},
      {.scheme = "interleaved_one_f_one_b",
       .sizes = {.pipeline = n},
       .num_micro_batches = n,
       .num_chunks = 2},
      {.scheme = "seq_one_f_one_b",
       .sizes = {.pipeline = n},
       .num_micro_batches = 2,
       .has_uneven_slices = true},
      {.scheme = "zero_bubble_h1", .sizes = {.pipeline = n}, .num_micro_batches = n},
      {.scheme = "single", .sizes = {.data = n}, .num_micro_batches = 2, .has_uneven_slices = true},
      {.scheme = "seq_interleaved",
       .sizes = {.pipeline = n},
       .num_micro_batches = 2,
       .num_chunks = 2,
       .has_uneven_slices = true},
      {.scheme = "zero_bubble_h2", .sizes = {.pipeline = n}, .num_micro_batches = 2 * n},
  };
}

// Products of two and three axes.
std::vector<Split> SplitsOfManyAxes(int n) {
  if (n % 8 == 0) {
    const ParallelSizes sizes = {.pipeline = 2, .tensor = 2, .data = n / 4};
    return {
        {.scheme = "seqpipe", .sizes = sizes, .num_micro_batches = 2, .has_uneven_slices = true},
        {.scheme = "one_f_one_b", .sizes = sizes, .num_micro_batches = 4, .plan = kSequence},
        {.scheme = "zero_bubble_v", .sizes = sizes, .num_micro_batches = 8},
    };
  }
  if (n % 4 == 0) {
    const int half = n / 2;
    return {
        {.scheme = "seqpipe",
         .sizes = {.pipeline = 2, .tensor = half},
         .num_micro_batches = 2,
         .has_uneven_slices = true},
        {.scheme = "one_f_one_b",
         .sizes = {.pipeline = 2, .tensor = half},
         .num_micro_batches = 4,
         .plan = kSequence},
        {.scheme = "zero_bubble_h1",
         .sizes = {.pipeline = 2, .data = half},
         .num_micro_batches = 4},
        {.scheme = "single", .sizes = {.tensor = 2, .data = half}, .num_micro_batches = 2},
    };
  }
  return {};
}

std::string NameOf(const Split& split) {
  std::string name = split.scheme;
  const auto add = [&](std::string_view axis, int size) {
    if (size > 1) name += fmt::format("/{}:{}", axis, size);
  };
  add("p", split.sizes.pipeline);
  add("t", split.sizes.tensor);
  add("d", split.sizes.data);
  if (split.plan == kSequence) name += "/sequence";
  return name;
}

int64_t RoundedUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

// Lengths alternate between one more and one less than the mean.
std::vector<Slice> UnevenSlices(int64_t seq_len, int num_slices) {
  const int64_t mean = seq_len / num_slices;
  std::vector<Slice> slices;
  for (int i = 0; i < num_slices; ++i) {
    const bool is_paired = i + 1 < num_slices || num_slices % 2 == 0;
    const int64_t change = is_paired ? (i % 2 == 0 ? 1 : -1) : 0;
    const int64_t begin = slices.empty() ? 0 : slices.back().begin + slices.back().len;
    slices.push_back({.begin = begin, .len = mean + change});
  }
  return slices;
}

// Stages are uneven: one layer more than two for each rank.
JobConfig ConfigOf(const Split& split, int num_ranks) {
  const int64_t num_heads = RoundedUp(kMinHeads, num_ranks);
  const int64_t seq_len = RoundedUp(kMinSeqLen, num_ranks);
  JobConfig config;
  config.model = {.name = "matrix",
                  .num_layers = 2 * num_ranks + 1,
                  .hidden_size = num_heads * kHeadDim,
                  .seq_len = seq_len,
                  .num_heads = num_heads};
  config.batch_size = 2 * num_ranks;
  config.loss = LossKind::kProjection;
  config.scheme = split.scheme;
  if (split.has_uneven_slices)
    config.slices = UnevenSlices(seq_len, num_ranks == 2 ? 4 : num_ranks);
  config.num_micro_batches = split.num_micro_batches;
  config.num_chunks = split.num_chunks;
  config.sizes = split.sizes;
  config.plan = split.plan;
  return config;
}

// The precisions of a device, the most telling first.
std::vector<Precision> PrecisionsOf(DeviceKind device) {
  if (device == DeviceKind::kCpu) return {Precision::kFloat64, Precision::kFloat32};
  return {Precision::kFloat32, Precision::kBFloat16, Precision::kFloat16, Precision::kTf32};
}

class RowList {
 public:
  explicit RowList(int num_ranks) : num_ranks_(num_ranks), splits_(SplitsOfManyAxes(num_ranks)) {
    for (Split& split : SplitsOfOneAxis(num_ranks)) splits_.push_back(std::move(split));
  }

  // A row for each split.
  void AddParity(Precision precision, LossKind loss) {
    for (const Split& split : splits_) {
      JobConfig config = ConfigOf(split, num_ranks_);
      config.precision = precision;
      config.loss = loss;
      Add(fmt::format("{}/{}/{}", NameOf(split), Name(precision), Name(loss)), RowKind::kParity,
          config);
    }
  }
  void AddGraphs(Precision precision) {
    for (const Split& split : splits_) {
      JobConfig config = ConfigOf(split, num_ranks_);
      config.precision = precision;
      Add(fmt::format("{}/{}/graph", NameOf(split), Name(precision)), RowKind::kGraph, config);
    }
  }
  void AddDroppedLayer(Precision precision) {
    JobConfig config = ConfigOf(splits_.front(), num_ranks_);
    config.precision = precision;
    Add(fmt::format("{}/{}/dropped_layer", NameOf(splits_.front()), Name(precision)),
        RowKind::kDroppedLayer, config);
  }

  std::vector<MatrixRow> rows() && { return std::move(rows_); }

 private:
  void Add(std::string name, RowKind kind, const JobConfig& config) {
    rows_.push_back({std::move(name), kind, config});
  }

  int num_ranks_;
  std::vector<Split> splits_;
  std::vector<MatrixRow> rows_;
};

}  // namespace

std::vector<MatrixRow> MatrixRows(int num_ranks, DeviceKind device) {
  const std::vector<Precision> precisions = PrecisionsOf(device);
  RowList list(num_ranks);
  list.AddParity(precisions[0], LossKind::kProjection);
  list.AddDroppedLayer(precisions[0]);
  list.AddParity(precisions[1], LossKind::kProjection);
  if (device == DeviceKind::kCuda) list.AddGraphs(precisions[0]);
  for (size_t i = 2; i < precisions.size(); ++i) {
    list.AddParity(precisions[i], LossKind::kProjection);
  }
  for (const Precision precision : precisions) list.AddParity(precision, LossKind::kMean);
  if (device == DeviceKind::kCuda) list.AddGraphs(precisions[1]);
  return std::move(list).rows();
}

}  // namespace sluice
