#include "correctness/matrix/matrix_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string_view>

#include "core/base/checked_math.h"
#include "parallel/schedule/slices.h"
#include "parallel/schemes/schemes.h"

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
      {.scheme = "dualpipe_v", .sizes = {.pipeline = n}, .num_micro_batches = 2 * n},
      {.scheme = "seq_interleaved_zero_bubble",
       .sizes = {.pipeline = n},
       .num_micro_batches = 2,
       .num_chunks = 2,
       .has_uneven_slices = true},
      {.scheme = "seq_zero_bubble_h1",
       .sizes = {.pipeline = n},
       .num_micro_batches = 2,
       .has_uneven_slices = true},
      {.scheme = "v_half", .sizes = {.pipeline = n}, .num_micro_batches = n},
      {.scheme = "v_min", .sizes = {.pipeline = n}, .num_micro_batches = n},
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

int NumStages(const Split& split) {
  return NumStages(FindScheme(split.scheme),
                   {.num_ranks = split.sizes.pipeline, .num_chunks = split.num_chunks});
}

// Stages are uneven: one has a layer more.
JobConfig ConfigOf(const Split& split, int num_ranks) {
  const int64_t num_heads = RoundUp(kMinHeads, num_ranks);
  const int64_t seq_len = RoundUp(kMinSeqLen, num_ranks);
  JobConfig config;
  config.model = {.name = "matrix",
                  .num_layers = NumStages(split) + 1,
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
    num_products_ = splits_.size();
    for (Split& split : SplitsOfOneAxis(num_ranks)) splits_.push_back(std::move(split));
  }

  // A row for each split, optional with more ranks than `max_ranks`.
  void AddParity(Precision precision, LossKind loss, int max_ranks) {
    for (size_t i = 0; i < splits_.size(); ++i) {
      JobConfig config = ConfigOf(splits_[i], num_ranks_);
      config.precision = precision;
      config.loss = loss;
      Add(fmt::format("{}/{}/{}", NameOf(splits_[i]), Name(precision), Name(loss)),
          RowKind::kParity, config, num_ranks_ > max_ranks || IsOptional(i));
    }
  }
  void AddGraphs(Precision precision, int max_ranks) {
    for (size_t i = 0; i < splits_.size(); ++i) {
      JobConfig config = ConfigOf(splits_[i], num_ranks_);
      config.precision = precision;
      // Replays repeat the collectives of each layer.
      if (config.sizes.pipeline == 1) config.model.num_layers = 1;
      Add(fmt::format("{}/{}/graph", NameOf(splits_[i]), Name(precision)), RowKind::kGraph, config,
          num_ranks_ > max_ranks || IsOptional(i) || IsOptionalGraph(splits_[i]));
    }
  }
  void AddDroppedLayer(Precision precision) {
    JobConfig config = ConfigOf(splits_.front(), num_ranks_);
    config.precision = precision;
    config.model.num_layers = 2 * NumStages(splits_.front());
    Add(fmt::format("{}/{}/dropped_layer", NameOf(splits_.front()), Name(precision)),
        RowKind::kDroppedLayer, config, num_ranks_ > 4);
  }

  std::vector<MatrixRow> rows() && { return std::move(rows_); }

 private:
  // Whether split `i` of so many ranks proves little that fewer ranks do not.
  bool IsOptional(size_t i) const {
    if (num_ranks_ == 2 || num_ranks_ == 4) return false;
    if (num_products_ == 0) return i > 0;
    return i >= num_products_ || splits_[i].scheme == "zero_bubble_v";
  }
  // 50 replays of collectives among many ranks take minutes where these share a GPU.
  bool IsOptionalGraph(const Split& split) const {
    if (num_ranks_ == 2) return false;
    const std::string_view scheme = split.scheme;
    return split.sizes.pipeline < num_ranks_ || (scheme != "one_f_one_b" && scheme != "seqpipe");
  }

  void Add(std::string name, RowKind kind, const JobConfig& config, bool is_optional) {
    rows_.push_back({std::move(name), kind, config, is_optional});
  }

  int num_ranks_;
  std::vector<Split> splits_;
  size_t num_products_ = 0;  // of axes, the first splits
  std::vector<MatrixRow> rows_;
};

}  // namespace

std::vector<MatrixRow> MatrixRows(int num_ranks, DeviceKind device) {
  const std::vector<Precision> precisions = PrecisionsOf(device);
  constexpr int kAny = std::numeric_limits<int>::max();
  RowList list(num_ranks);
  for (size_t i = 0; i < precisions.size(); ++i) {
    list.AddParity(precisions[i], LossKind::kProjection, i < 2 ? kAny : 2);
    if (i > 0) continue;
    list.AddDroppedLayer(precisions[i]);
    if (device == DeviceKind::kCuda) list.AddGraphs(precisions[i], kAny);
  }
  for (size_t i = 0; i < precisions.size(); ++i) {
    list.AddParity(precisions[i], LossKind::kMean, i < 2 ? 2 : 0);
  }
  if (device == DeviceKind::kCuda) list.AddGraphs(precisions[1], 0);
  std::vector<MatrixRow> rows = std::move(list).rows();
  std::ranges::stable_partition(rows, [](const MatrixRow& row) { return !row.is_optional; });
  return rows;
}

}  // namespace sluice
