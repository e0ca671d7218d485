#include "parallel/exec/rank_memory.h"

#include <algorithm>
#include <limits>
#include <string_view>

#include "core/base/check.h"
#include "core/base/checked_math.h"

namespace sluice {
namespace {

// The parts of the scratch memory, in this order: the layer's own scratch; the tensors of one
// layer's forward in a forward pass, which keeps none, or the gradients of one layer's whole
// backward in a step; and this many hidden tensors, which hold the input and the output of a layer
// (or the gradients of both) and swap roles at the next layer.
constexpr int kNumAlternating = 2;

constexpr int64_t RankBytes::*kPurposes[] = {
    &RankBytes::weights,     &RankBytes::weight_gradients,
    &RankBytes::activations, &RankBytes::activation_gradients,
    &RankBytes::scratch,     &RankBytes::input,
    &RankBytes::kernels};
static_assert(sizeof(RankBytes) == std::size(kPurposes) * sizeof(int64_t));

}  // namespace

int64_t RankBytes::total() const {
  int64_t sum = 0;
  for (const auto purpose : kPurposes) sum = CheckedSum("the job's bytes", sum, this->*purpose);
  return sum;
}

RankBytes& RankBytes::operator+=(const RankBytes& other) {
  for (const auto purpose : kPurposes) {
    this->*purpose = CheckedSum("the job's bytes", this->*purpose, other.*purpose);
  }
  return *this;
}

RankMemory::RankMemory(const JobPlan& plan, const RankCoordinates& rank)
    : plan_(plan), units_(plan, rank.pipeline), layout_(plan, rank) {
  for (const int stage : units_.stages()) {
    const LayerRange& range = plan.LayersOf({.stage = stage});
    for (int64_t i = 0; i < range.num_layers; ++i) layers_.push_back(range.begin + i);
  }
  LayOutInput();
  unit_blocks_.resize(units_.num_units());
  micro_batch_blocks_.resize(units_.num_micro_batches());
  const std::vector<Op>& ops = plan.schedule.ops_of_rank[rank.pipeline];
  for (int64_t index = 0; const Op& op : ops) UseBlocksOf(op, index++, std::ssize(ops));
  activations_.layout = LayOutArena(activations_.blocks);
  gradients_.layout = LayOutArena(gradients_.blocks);
  CountBytes();
}

void RankMemory::LayOutInput() {
  const bool has_input = units_.IsLocal(0);
  const bool has_projection =
      units_.IsLocal(plan_.schedule.num_stages - 1) && plan_.config.loss == LossKind::kProjection;
  for (int slice = 0; slice < plan_.schedule.num_slices; ++slice) {
    input_offsets_.push_back(micro_batch_bytes_);
    const SliceLayout& layout = layout_.OfSlice(slice);
    if (has_input) micro_batch_bytes_.input += layout.own_hidden.size_bytes();
    if (has_projection) micro_batch_bytes_.projection += layout.projection.size_bytes();
  }
}

int64_t RankMemory::NumQkv(const Unit& unit) const {
  const bool outlives_layer =
      IsStep() || plan_.schedule.num_slices > 1 || plan_.config.prefix_len > 0;
  return outlives_layer ? NumLayers(unit) : 1;
}

int64_t RankMemory::KeptBytes(const Unit& unit) const {
  const int64_t layers = NumLayers(unit);
  return layers * LayoutOf(unit).kept.size_bytes() +
         (layers - 1) * LayoutOf(unit).own_hidden.size_bytes();
}

void RankMemory::Use(Arena& arena, int& block, int64_t size_bytes, int64_t op) {
  if (block < 0) {
    block = static_cast<int>(arena.blocks.size());
    arena.blocks.push_back({size_bytes, op, op});
  }
  int64_t& end = arena.blocks[block].end;
  end = std::max(end, op);
}

void RankMemory::UseBlocksOf(const Op& op, int64_t index, int64_t end) {
  UnitBlocks& blocks = BlocksOf(op.unit);
  switch (op.kind) {
    case OpKind::kForward:
      return UseBlocksOfForward(op.unit, index);
    case OpKind::kBackward:
    case OpKind::kBackwardInput:
      return UseBlocksOfBackward(op, index);
    case OpKind::kBackwardWeight:
      Use(activations_, blocks.kept, 0, index);
      Use(gradients_, blocks.output_gradient, 0, index);
      return Use(gradients_, blocks.layer_gradients, 0, index);
    case OpKind::kRecvActivation:
      return Use(activations_, blocks.input, LayoutOf(op.unit).own_hidden.size_bytes(), index);
    case OpKind::kRecvGradient:
      return Use(gradients_, blocks.output_gradient, LayoutOf(op.unit).hidden.size_bytes(), index);
    case OpKind::kSendActivation:
      return Use(activations_, blocks.output, 0, IsStep() ? index : end);
    case OpKind::kSendGradient:
      return Use(gradients_, blocks.input_gradient, 0, end);
  }
}

void RankMemory::UseBlocksOfForward(const Unit& unit, int64_t index) {
  UnitBlocks& blocks = BlocksOf(unit);
  // The input: the output of the stage below, on this rank or received.
  const Unit previous = {unit.stage - 1, unit.micro_batch, unit.slice};
  if (units_.IsLocal(previous.stage)) {
    Use(activations_, BlocksOf(previous).output, 0, index);
  } else if (unit.stage > 0) {
    Use(activations_, blocks.input, 0, index);
  }
  // The slices of a micro-batch share queries, keys and values. A cached prefix is drawn once, and
  // every pass reads it.
  MicroBatchBlocks& micro_batch = MicroBatchOf(unit);
  Use(activations_, micro_batch.qkv, NumQkv(unit) * layout_.qkv().size_bytes(), index);
  if (plan_.config.prefix_len > 0) {
    Lifetime& qkv = activations_.blocks[micro_batch.qkv];
    qkv.begin = 0;
    qkv.end = std::numeric_limits<int64_t>::max();
  }
  if (IsStep()) Use(activations_, blocks.kept, KeptBytes(unit), index);
  Use(activations_, blocks.output, LayoutOf(unit).own_hidden.size_bytes(), index);
}

void RankMemory::UseBlocksOfBackward(const Op& op, int64_t index) {
  const Unit& unit = op.unit;
  const SliceLayout& layout = LayoutOf(unit);
  UnitBlocks& blocks = BlocksOf(unit);
  // The input and its gradient: both belong to the stage below if this rank holds it.
  const Unit previous = {unit.stage - 1, unit.micro_batch, unit.slice};
  if (units_.IsLocal(previous.stage)) {
    Use(activations_, BlocksOf(previous).output, 0, index);
    Use(gradients_, BlocksOf(previous).output_gradient, layout.hidden.size_bytes(), index);
  } else if (unit.stage > 0) {
    Use(activations_, blocks.input, 0, index);
    Use(gradients_, blocks.input_gradient, layout.hidden.size_bytes(), index);
  }
  // What the forward left, and the gradient of its output.
  Use(activations_, MicroBatchOf(unit).qkv, 0, index);
  Use(activations_, blocks.kept, 0, index);
  Use(activations_, blocks.output, 0, index);
  Use(gradients_, blocks.output_gradient, layout.hidden.size_bytes(), index);
  if (layout_.needs_key_value_accumulator()) {
    Use(gradients_, MicroBatchOf(unit).key_value_accumulator,
        NumLayers(unit) * layout_.key_value_accumulator().size_bytes(), index);
  }
  // A split backward leaves the gradients of all layers for BackwardWeight.
  if (op.kind == OpKind::kBackwardInput) {
    const int64_t layers = NumLayers(unit);
    Use(gradients_, blocks.layer_gradients,
        layers * layout.gradients.size_bytes() + (layers - 1) * layout.hidden.size_bytes(), index);
  }
}

void RankMemory::CountBytes() {
  const int64_t num_layers = std::ssize(layers_);
  const SliceLayout& longest = layout_.OfLongestSlice();
  bytes_.weights = num_layers * layout_.weights().size_bytes();
  bytes_.activations = activations_.layout.size_bytes;
  bytes_.activation_gradients = gradients_.layout.size_bytes;
  bytes_.scratch = longest.scratch.size_bytes() + kNumAlternating * longest.hidden.size_bytes();
  if (IsStep()) {
    bytes_.weight_gradients = num_layers * layout_.weight_gradients().size_bytes();
    bytes_.scratch += longest.gradients.size_bytes();
  } else {
    bytes_.scratch += longest.kept.size_bytes();
  }
  bytes_.input = plan_.schedule.num_micro_batches *
                     (micro_batch_bytes_.input + micro_batch_bytes_.projection) +
                 AlignUp(sizeof(double));
}

int64_t RankMemory::UnitActivationBytes(const Unit& unit) const {
  const int64_t own_hidden = LayoutOf(unit).own_hidden.size_bytes();
  int64_t bytes = own_hidden;
  if (plan_.config.prefix_len == 0) bytes += NumQkv(unit) * LayoutOf(unit).qkv_rows_bytes;
  if (IsStep()) bytes += KeptBytes(unit);
  if (unit.stage > 0 && !units_.IsLocal(unit.stage - 1)) bytes += own_hidden;
  return bytes;
}

int64_t RankMemory::PermanentActivationBytes() const {
  if (plan_.config.prefix_len == 0) return 0;
  return plan_.schedule.num_micro_batches * std::ssize(layers_) * layout_.qkv().size_bytes();
}

void RankMemory::AddWeights(Device& device, RankWeights& weights) {
  const size_t num_shared = std::min(weights.layers.size(), layers_.size());
  SLUICE_CHECK(std::equal(layers_.begin(), layers_.begin() + static_cast<int64_t>(num_shared),
                          weights.layers.begin()));
  num_drawn_layers_ = std::min(weights.num_drawn, num_shared);
  if (num_shared == layers_.size()) return;
  const auto num_missing = static_cast<int64_t>(layers_.size() - num_shared);
  weights.buffers.push_back(
      device.Allocate(bytes_.weights / std::ssize(layers_) * num_missing, "weights"));
  auto* base = static_cast<char*>(weights.buffers.back().data());
  for (size_t i = num_shared; i < layers_.size(); ++i, base += layout_.weights().size_bytes()) {
    weights.layers.push_back(layers_[i]);
    weights.tensors.push_back(layout_.weights().At(base));
  }
}

void RankMemory::Allocate(Device& device, RankWeights* shared) {
  RankWeights& weights = shared != nullptr ? *shared : own_weights_;
  AddWeights(device, weights);
  weights_.assign(weights.tensors.begin(),
                  weights.tensors.begin() + static_cast<int64_t>(layers_.size()));
  const auto allocate = [&](int64_t size_bytes, std::string_view what) {
    buffers_.push_back(device.Allocate(size_bytes, what));
    return static_cast<char*>(buffers_.back().data());
  };
  char* const gradients = allocate(bytes_.weight_gradients, "weight gradients");
  index_of_layer_.resize(plan_.config.model.num_layers);
  for (int64_t i = 0; i < std::ssize(layers_); ++i) {
    index_of_layer_[layers_[i]] = i;
    const auto& layout = layout_.weight_gradients();
    weight_gradients_.push_back(IsStep() ? layout.At(gradients + i * layout.size_bytes())
                                         : layout.tensors());  // absent
  }
  activations_.base = allocate(bytes_.activations, "activations");
  gradients_.base = allocate(bytes_.activation_gradients, "activation gradients");
  scratch_ = allocate(bytes_.scratch, "scratch memory");
  char* input = allocate(bytes_.input, "the input");
  loss_ = Tensor(input, AccumulatorDType(plan_.config.precision), {1});
  input_ = input + AlignUp(sizeof(double));
  projection_ = input_ + plan_.schedule.num_micro_batches * micro_batch_bytes_.input;
}

Tensor RankMemory::Input(const Unit& unit) const {
  if (unit.stage > 0 && units_.IsLocal(unit.stage - 1)) {
    return Output({unit.stage - 1, unit.micro_batch, unit.slice});
  }
  char* const base = unit.stage == 0 ? input_ + unit.micro_batch * micro_batch_bytes_.input +
                                           input_offsets_[unit.slice].input
                                     : activations_.At(BlocksOf(unit).input);
  return LayoutOf(unit).own_hidden.At(base);
}

Tensor RankMemory::Projection(const Unit& unit) const {
  if (plan_.config.loss != LossKind::kProjection) return Tensor();
  return LayoutOf(unit).projection.At(projection_ +
                                      unit.micro_batch * micro_batch_bytes_.projection +
                                      input_offsets_[unit.slice].projection);
}

Tensor RankMemory::Output(const Unit& unit) const {
  return LayoutOf(unit).own_hidden.At(activations_.At(BlocksOf(unit).output));
}

Tensor RankMemory::OutputGradient(const Unit& unit) const {
  return LayoutOf(unit).hidden.At(gradients_.At(BlocksOf(unit).output_gradient));
}

Tensor RankMemory::InputGradient(const Unit& unit) const {
  if (units_.IsLocal(unit.stage - 1)) {
    return OutputGradient({unit.stage - 1, unit.micro_batch, unit.slice});
  }
  // The gradient of the model's input is only computed, and then overwritten.
  const int64_t offset = layout_.OfLongestSlice().gradients.size_bytes();
  return LayoutOf(unit).hidden.At(unit.stage == 0 ? AlternatingHidden(0, offset)
                                                  : gradients_.At(BlocksOf(unit).input_gradient));
}

char* RankMemory::AlternatingHidden(int64_t index, int64_t offset) const {
  return SharedRegion() + offset +
         index % kNumAlternating * layout_.OfLongestSlice().hidden.size_bytes();
}

LayerActivations RankMemory::Activations(const Unit& unit, int64_t layer) const {
  const SliceLayout& layout = LayoutOf(unit);
  const int64_t i = layer - FirstLayer(unit);
  const int64_t last = NumLayers(unit) - 1;
  const int64_t kept_bytes = layout.kept.size_bytes();
  char* const kept = IsStep() ? activations_.At(BlocksOf(unit).kept) : SharedRegion();
  // The output of layer `index` < last, which is the input of layer index + 1.
  const auto between = [&](int64_t index) {
    return layout.own_hidden.At(
        IsStep() ? kept + (last + 1) * kept_bytes + index * layout.own_hidden.size_bytes()
                 : AlternatingHidden(index, layout_.OfLongestSlice().kept.size_bytes()));
  };
  LayerActivations a = layout.kept.At(IsStep() ? kept + i * kept_bytes : kept);
  a.x = i == 0 ? Input(unit) : between(i - 1);
  a.z = i == last ? Output(unit) : between(i);
  a.qkv = layout_.qkv().At(activations_.At(MicroBatchOf(unit).qkv) +
                           i % NumQkv(unit) * layout_.qkv().size_bytes());
  return a;
}

LayerGradients RankMemory::Gradients(const Unit& unit, int64_t layer, OpKind backward) const {
  const SliceLayout& layout = LayoutOf(unit);
  const int64_t i = layer - FirstLayer(unit);
  LayerGradients g = layout.gradients.At(backward == OpKind::kBackward
                                             ? SharedRegion()
                                             : gradients_.At(BlocksOf(unit).layer_gradients) +
                                                   i * layout.gradients.size_bytes());
  g.dz = i == NumLayers(unit) - 1 ? OutputGradient(unit)
                                  : LayerInputGradient(unit, layer + 1, backward);
  return g;
}

Tensor RankMemory::LayerInputGradient(const Unit& unit, int64_t layer, OpKind backward) const {
  const SliceLayout& layout = LayoutOf(unit);
  const int64_t i = layer - FirstLayer(unit);
  if (i == 0) return InputGradient(unit);
  if (backward == OpKind::kBackward) {
    return layout.hidden.At(AlternatingHidden(i, layout_.OfLongestSlice().gradients.size_bytes()));
  }
  return layout.hidden.At(gradients_.At(BlocksOf(unit).layer_gradients) +
                          NumLayers(unit) * layout.gradients.size_bytes() +
                          (i - 1) * layout.hidden.size_bytes());
}

Tensor RankMemory::KeyValueAccumulator(const Unit& unit, int64_t layer) const {
  if (!layout_.needs_key_value_accumulator()) return Tensor();
  const TensorBlock<Tensor>& accumulator = layout_.key_value_accumulator();
  return accumulator.At(gradients_.At(MicroBatchOf(unit).key_value_accumulator) +
                        (layer - FirstLayer(unit)) * accumulator.size_bytes());
}

LayerScratch RankMemory::Scratch(const Unit& unit) const {
  return LayoutOf(unit).scratch.At(scratch_);
}

}  // namespace sluice
