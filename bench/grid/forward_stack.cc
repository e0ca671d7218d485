#include "bench/grid/forward_stack.h"

#include <algorithm>
#include <span>

#include "core/base/check.h"
#include "core/base/checked_math.h"
#include "core/base/rng.h"
#include "core/device/cpu/cpu_device.h"
#include "core/model/draw_rows.h"
#include "core/model/initial_values.h"
#include "core/model/small_layers.h"
#include "parallel/exec/small_layer_choice_of.h"

namespace sluice {
namespace {

constexpr const char* kBytes = "the memory of a point in bytes";
constexpr int64_t kNumTurns = 2;  // a layer reads one hidden tensor and writes the other

int64_t NumCaches(const JobConfig& config) {
  return config.prefix_len > 0 ? config.model.num_layers : 1;
}

int64_t WeightBytes(const UnitLayout& layout) {
  return layout.SizeOfTaken([&](Carver& carver) { layout.Weights(carver); });
}

int64_t CacheBytes(const UnitLayout& layout) {
  return layout.SizeOfTaken([&](Carver& carver) { layout.Qkv(carver); });
}

int64_t ActivationBytes(const UnitLayout& layout) {
  return layout.SizeOfTaken([&](Carver& carver) {
    layout.Kept(carver, 0);
    layout.Scratch(carver, 0);
    for (int64_t i = 0; i < 1 + kNumTurns; ++i) layout.OwnHidden(carver, 0);
  });
}

// Host memory for drawn values is counted where the host is the device.
int64_t PrefixBytes(const JobConfig& config) {
  return CheckedProduct(kBytes, {config.prefix_len, config.batch_size, 3, config.model.hidden_size,
                                 SizeOf(StorageDType(config.precision))});
}

}  // namespace

ForwardStack::ForwardStack(Backend& backend, const ForwardStackOptions& options)
    : backend_(backend), options_(options), pool_(NumCores()) {}

JobPlan ForwardStack::PlanOf(const GridPoint& point, const ForwardStackOptions& options) {
  JobConfig config;
  config.model = {.name = "grid",
                  .num_layers = point.num_layers,
                  .hidden_size = point.hidden_size,
                  .seq_len = point.seq_len,
                  .num_heads = point.hidden_size / options.head_dim};
  config.batch_size = options.batch_size;
  config.prefix_len = point.prefix_len;
  config.seed = options.seed;
  config.precision = options.precision;
  config.pass = Pass::kForward;
  return PlanJob(config);
}

int64_t ForwardStack::NeededBytes(const GridPoint& point) const {
  const JobPlan plan = PlanOf(point, options_);
  const UnitLayout layout(plan, {});
  const bool is_cpu = backend_.device->kind() == DeviceKind::kCpu;
  int64_t bytes = CheckedProduct(kBytes, {point.num_layers, WeightBytes(layout)});
  for (const int64_t part :
       {CheckedProduct(kBytes, {NumCaches(plan.config), CacheBytes(layout)}),
        ActivationBytes(layout), backend_.kernels->WorkspaceBytes(layout.Limits()),
        is_cpu ? PrefixBytes(plan.config) : 0}) {
    bytes = CheckedSum(kBytes, bytes, part);
  }
  return bytes;
}

int64_t ForwardStack::AvailableBytes() const {
  return backend_.device->available_bytes() + backend_.device->allocated_bytes();
}

char* ForwardStack::Reuse(Buffer& buffer, int64_t size_bytes, std::string_view what) {
  if (buffer.size_bytes() < size_bytes) {
    buffer = Buffer();
    buffer = backend_.device->Allocate(size_bytes, what);
  }
  return static_cast<char*>(buffer.data());
}

void ForwardStack::Prepare(const GridPoint& point) {
  layers_.clear();
  plan_ = std::make_unique<JobPlan>(PlanOf(point, options_));
  layout_ = std::make_unique<UnitLayout>(*plan_, RankCoordinates{});
  if (weights_hidden_size_ != point.hidden_size) {
    weights_.clear();
    weight_buffers_.clear();
    prefix_.clear();
    prefix_len_ = 0;
    weights_hidden_size_ = point.hidden_size;
  }
  // What a smaller stack does not need may be what a longer cache does.
  if (NeededBytes(point) > backend_.device->available_bytes()) {
    const size_t num_kept =
        std::min(weights_.size(), static_cast<size_t>(plan_->config.model.num_layers));
    weights_.resize(num_kept);
    weight_buffers_.resize(num_kept);
    cache_buffer_ = Buffer();
    activation_buffer_ = Buffer();
  }
  backend_.kernels->Reserve(layout_->Limits());
  PrepareWeights();
  CarveActivations();
  PreparePrefix();
  FillInputs();
  SmallLayerKernels* small_layer = backend_.small_layer.get();
  layer_runner_ = MakeLayerRunner(*backend_.kernels, no_tensor_parallel_, small_layer,
                                  SmallLayerChoiceOf(*plan_, small_layer));
}

void ForwardStack::PrepareWeights() {
  const std::vector<ParameterSpec> specs = LayerParameters(plan_->config.model);
  for (int64_t layer = static_cast<int64_t>(weights_.size());
       layer < plan_->config.model.num_layers; ++layer) {
    Buffer buffer = backend_.device->Allocate(WeightBytes(*layout_), "the weights of a layer");
    Carver carver(static_cast<char*>(buffer.data()));
    const LayerParameterTensors tensors = layout_->Weights(carver);
    for (size_t i = 0; i < specs.size(); ++i) {
      const Tensor& tensor = tensors[i];
      const int64_t num_columns = tensor.row_size();
      DrawRows(*backend_.device, pool_, tensor, [&](int64_t row_begin, std::span<double> rows) {
        const int64_t num_rows = static_cast<int64_t>(rows.size()) / num_columns;
        FillParameter<double>(
            {options_.seed, layer}, specs[i],
            {.row_begin = row_begin, .num_rows = num_rows, .num_columns = num_columns}, rows);
      });
    }
    weights_.push_back(tensors);
    weight_buffers_.push_back(std::move(buffer));
  }
}

void ForwardStack::CarveActivations() {
  const JobConfig& config = plan_->config;
  const int64_t cache_bytes = CacheBytes(*layout_);
  char* caches = Reuse(cache_buffer_, NumCaches(config) * cache_bytes, "keys and values");
  Carver carver(Reuse(activation_buffer_, ActivationBytes(*layout_), "activations"));
  const LayerActivations kept = layout_->Kept(carver, 0);
  const LayerScratch scratch = layout_->Scratch(carver, 0);
  Tensor x = layout_->OwnHidden(carver, 0);
  const Tensor turns[kNumTurns] = {layout_->OwnHidden(carver, 0), layout_->OwnHidden(carver, 0)};
  for (int64_t layer = 0; layer < config.model.num_layers; ++layer) {
    LayerActivations a = kept;
    a.x = x;
    a.z = turns[layer % kNumTurns];
    Carver cache(caches + layer % NumCaches(config) * cache_bytes);
    a.qkv = layout_->Qkv(cache);
    layers_.push_back({.weights = weights_[static_cast<size_t>(layer)],
                       .prefix_len = config.prefix_len,
                       .activations = a,
                       .scratch = scratch});
    x = a.z;
  }
  output_ = x;
}

void ForwardStack::PreparePrefix() {
  const JobConfig& config = plan_->config;
  if (config.prefix_len == 0) return;
  const Tensor rows = layers_.front().activations.qkv.Rows(0, config.prefix_len);
  if (prefix_len_ < config.prefix_len) {
    prefix_.resize(static_cast<size_t>(rows.num_bytes()));
    const RandomStream stream(options_.seed, ParameterName(0, "prefix"));
    const Tensor all(prefix_.data(), rows.dtype(), rows.shape());
    const int64_t num_drawn = prefix_len_;
    DrawHostRows(pool_, all.Rows(num_drawn, config.prefix_len - num_drawn),
                 [&](int64_t row_begin, std::span<double> values) {
                   uint64_t element =
                       static_cast<uint64_t>((num_drawn + row_begin) * rows.row_size());
                   for (double& value : values) value = stream.Normal(element++);
                 });
    prefix_len_ = config.prefix_len;
  }
  for (const LayerForwardArgs& layer : layers_) {
    backend_.device->CopyFromHost(layer.activations.qkv.data(), prefix_.data(), rows.num_bytes());
  }
}

void ForwardStack::FillInputs() {
  const Tensor& x = layers_.front().activations.x;
  DrawRows(*backend_.device, pool_, x, [&](int64_t row_begin, std::span<double> rows) {
    FillInput<double>(options_.seed, row_begin * x.row_size(), rows);
  });
}

void ForwardStack::Run() {
  SLUICE_CHECK(!layers_.empty());  // call Prepare first
  layer_runner_->Forward(layers_);
}

}  // namespace sluice
