#include "parallel/exec/rank_memory.h"

#include <algorithm>
#include <limits>

#include "core/base/check.h"

namespace sluice {
namespace {

// The scratch region, in this order: the layer's own scratch; the tensors of one layer's forward
// where nothing is kept; the gradients of one layer's whole backward; two gradients of a layer's
// output, by turns.
constexpr int kNumTurns = 2;

}  // namespace

RankMemory::RankMemory(const JobPlan& plan, const RankCoordinates& rank)
    : plan_(plan), units_(plan, rank.pipeline), layout_(plan, rank) {
  for (const int stage : units_.stages()) {
    const LayerRange& range = plan.layers_of_stage[static_cast<size_t>(stage)];
    for (int64_t i = 0; i < range.num_layers; ++i) layers_.push_back(range.begin + i);
  }
  PlanSlices();
  unit_blocks_.resize(units_.num_units());
  micro_batch_blocks_.resize(units_.num_micro_batches());
  const std::vector<Op>& ops = plan.schedule.ops_of_rank[static_cast<size_t>(rank.pipeline)];
  const int64_t end = static_cast<int64_t>(ops.size());
  for (int64_t i = 0; i < end; ++i) PlanOp(ops[static_cast<size_t>(i)], i, end);
  activations_.plan = PlanArena(activations_.blocks);
  gradients_.plan = PlanArena(gradients_.blocks);
  PlanPermanent();
}

void RankMemory::PlanSlices() {
  const bool has_input = units_.IsLocal(0);
  const bool has_projection =
      units_.IsLocal(plan_.schedule.num_stages - 1) && plan_.config.loss == LossKind::kProjection;
  const auto size_of = [&](const auto& take) { return layout_.SizeOfTaken(take); };
  for (int slice = 0; slice < plan_.schedule.num_slices; ++slice) {
    SliceBytes bytes = {
        .own_hidden = size_of([&](Carver& carver) { layout_.OwnHidden(carver, slice); }),
        .hidden = size_of([&](Carver& carver) { layout_.Hidden(carver, slice); }),
        .kept = size_of([&](Carver& carver) { layout_.Kept(carver, slice); }),
        .gradients = size_of([&](Carver& carver) { layout_.Gradients(carver, slice); }),
        .input_begin = input_bytes_,
        .projection_begin = projection_bytes_};
    if (has_input) input_bytes_ += bytes.own_hidden;
    if (has_projection) {
      projection_bytes_ += size_of([&](Carver& carver) { layout_.Projection(carver, slice); });
    }
    slice_bytes_.push_back(bytes);
  }
  qkv_bytes_ = size_of([&](Carver& carver) { layout_.Qkv(carver); });
  key_value_bytes_ = size_of([&](Carver& carver) { layout_.KeyValueAccumulator(carver); });
  layer_scratch_bytes_ =
      size_of([&](Carver& carver) { layout_.Scratch(carver, layout_.longest_slice()); });
}

int64_t RankMemory::NumLayers(const Unit& unit) const {
  return plan_.layers_of_stage[static_cast<size_t>(unit.stage)].num_layers;
}

int64_t RankMemory::NumQkv(const Unit& unit) const {
  const bool outlives_layer =
      IsStep() || plan_.schedule.num_slices > 1 || plan_.config.prefix_len > 0;
  return outlives_layer ? NumLayers(unit) : 1;
}

int64_t RankMemory::FirstLayer(const Unit& unit) const {
  return plan_.layers_of_stage[static_cast<size_t>(unit.stage)].begin;
}

void RankMemory::Use(Arena& arena, int& block, int64_t size_bytes, int64_t op) {
  if (block < 0) {
    block = static_cast<int>(arena.blocks.size());
    arena.blocks.push_back({size_bytes, op, op});
  }
  int64_t& end = arena.blocks[static_cast<size_t>(block)].end;
  end = std::max(end, op);
}

void RankMemory::PlanOp(const Op& op, int64_t index, int64_t end) {
  UnitBlocks& blocks = BlocksOf(op.unit);
  const int slice = op.unit.slice;
  switch (op.kind) {
    case OpKind::kForward:
      return PlanForward(op.unit, index);
    case OpKind::kBackward:
    case OpKind::kBackwardInput:
      return PlanBackward(op, index);
    case OpKind::kBackwardWeight:
      Use(activations_, blocks.kept, 0, index);
      Use(gradients_, blocks.output_gradient, 0, index);
      return Use(gradients_, blocks.layer_gradients, 0, index);
    case OpKind::kRecvActivation:
      return Use(activations_, blocks.input, BytesOf(slice).own_hidden, index);
    case OpKind::kRecvGradient:
      return Use(gradients_, blocks.output_gradient, BytesOf(slice).hidden, index);
    case OpKind::kSendActivation:
      return Use(activations_, blocks.output, 0, IsStep() ? index : end);
    case OpKind::kSendGradient:
      return Use(gradients_, blocks.input_gradient, 0, end);
  }
}

void RankMemory::PlanForward(const Unit& unit, int64_t index) {
  UnitBlocks& blocks = BlocksOf(unit);
  const Unit previous = {unit.stage - 1, unit.micro_batch, unit.slice};
  if (units_.IsLocal(previous.stage)) {
    Use(activations_, BlocksOf(previous).output, 0, index);
  } else if (unit.stage > 0) {
    Use(activations_, blocks.input, 0, index);
  }
  Use(activations_, MicroBatchOf(unit).qkv, NumQkv(unit) * qkv_bytes_, index);
  // A cached prefix is drawn once and must outlive every pass.
  if (plan_.config.prefix_len > 0) {
    Lifetime& qkv = activations_.blocks[static_cast<size_t>(MicroBatchOf(unit).qkv)];
    qkv.begin = 0;
    qkv.end = std::numeric_limits<int64_t>::max();
  }
  const int64_t own_hidden = BytesOf(unit.slice).own_hidden;
  if (IsStep()) {
    const int64_t layers = NumLayers(unit);
    Use(activations_, blocks.kept, layers * BytesOf(unit.slice).kept + (layers - 1) * own_hidden,
        index);
  }
  Use(activations_, blocks.output, own_hidden, index);
}

void RankMemory::PlanBackward(const Op& op, int64_t index) {
  const Unit& unit = op.unit;
  UnitBlocks& blocks = BlocksOf(unit);
  const Unit previous = {unit.stage - 1, unit.micro_batch, unit.slice};
  if (units_.IsLocal(previous.stage)) {
    Use(activations_, BlocksOf(previous).output, 0, index);
    Use(gradients_, BlocksOf(previous).output_gradient, BytesOf(unit.slice).hidden, index);
  } else if (unit.stage > 0) {
    Use(activations_, blocks.input, 0, index);
    Use(gradients_, blocks.input_gradient, BytesOf(unit.slice).hidden, index);
  }
  Use(activations_, MicroBatchOf(unit).qkv, 0, index);
  Use(activations_, blocks.kept, 0, index);
  Use(activations_, blocks.output, 0, index);
  Use(gradients_, blocks.output_gradient, BytesOf(unit.slice).hidden, index);
  if (layout_.needs_key_value_accumulator()) {
    Use(gradients_, MicroBatchOf(unit).key_value_accumulator, NumLayers(unit) * key_value_bytes_,
        index);
  }
  if (op.kind == OpKind::kBackwardInput) {
    const int64_t layers = NumLayers(unit);
    Use(gradients_, blocks.layer_gradients,
        layers * BytesOf(unit.slice).gradients + (layers - 1) * BytesOf(unit.slice).hidden, index);
  }
}

void RankMemory::PlanPermanent() {
  const int64_t num_layers = std::ssize(layers_);
  const SliceBytes& longest = BytesOfLongest();
  bytes_.weights =
      num_layers * layout_.SizeOfTaken([&](Carver& carver) { layout_.Weights(carver); });
  bytes_.activations = activations_.plan.size_bytes;
  bytes_.activation_gradients = gradients_.plan.size_bytes;
  bytes_.scratch = layer_scratch_bytes_ + kNumTurns * longest.hidden;
  if (IsStep()) {
    bytes_.weight_gradients =
        num_layers * layout_.SizeOfTaken([&](Carver& carver) { layout_.WeightGradients(carver); });
    bytes_.scratch += longest.gradients;
  } else {
    bytes_.scratch += longest.kept;
  }
  bytes_.input = plan_.schedule.num_micro_batches * (input_bytes_ + projection_bytes_) +
                 AlignUp(sizeof(double));
}

int64_t RankMemory::UnitActivationBytes(const Unit& unit) const {
  const int64_t own_hidden = BytesOf(unit.slice).own_hidden;
  const int64_t layers = NumLayers(unit);
  int64_t bytes = own_hidden;
  if (plan_.config.prefix_len == 0) bytes += NumQkv(unit) * layout_.QkvRowsBytes(unit.slice);
  if (IsStep()) bytes += layers * BytesOf(unit.slice).kept + (layers - 1) * own_hidden;
  if (unit.stage > 0 && !units_.IsLocal(unit.stage - 1)) bytes += own_hidden;
  return bytes;
}

int64_t RankMemory::PermanentActivationBytes() const {
  if (plan_.config.prefix_len == 0) return 0;
  return plan_.schedule.num_micro_batches * std::ssize(layers_) * qkv_bytes_;
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
  Carver carver(static_cast<char*>(weights.buffers.back().data()));
  for (size_t i = num_shared; i < layers_.size(); ++i) {
    weights.layers.push_back(layers_[i]);
    weights.tensors.push_back(layout_.Weights(carver));
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
  Carver gradients(allocate(bytes_.weight_gradients, "weight gradients"));
  index_of_layer_.resize(static_cast<size_t>(plan_.config.model.num_layers));
  for (size_t i = 0; i < layers_.size(); ++i) {
    index_of_layer_[static_cast<size_t>(layers_[i])] = i;
    weight_gradients_.push_back(layout_.WeightGradients(gradients));
  }
  activations_.base = allocate(bytes_.activations, "activations");
  gradients_.base = allocate(bytes_.activation_gradients, "activation gradients");
  scratch_ = allocate(bytes_.scratch, "scratch memory");
  char* input = allocate(bytes_.input, "the input");
  loss_ = Tensor(input, layout_.accumulator_type(), {1});
  input_ = input + AlignUp(sizeof(double));
  projection_ = input_ + plan_.schedule.num_micro_batches * input_bytes_;
}

Tensor RankMemory::Input(const Unit& unit) const {
  if (unit.stage > 0 && units_.IsLocal(unit.stage - 1)) {
    return Output({unit.stage - 1, unit.micro_batch, unit.slice});
  }
  Carver carver(unit.stage == 0
                    ? input_ + unit.micro_batch * input_bytes_ + BytesOf(unit.slice).input_begin
                    : activations_.At(BlocksOf(unit).input));
  return layout_.OwnHidden(carver, unit.slice);
}

Tensor RankMemory::Projection(const Unit& unit) const {
  if (plan_.config.loss != LossKind::kProjection) return Tensor();
  Carver carver(projection_ + unit.micro_batch * projection_bytes_ +
                BytesOf(unit.slice).projection_begin);
  return layout_.Projection(carver, unit.slice);
}

Tensor RankMemory::Output(const Unit& unit) const {
  Carver carver(activations_.At(BlocksOf(unit).output));
  return layout_.OwnHidden(carver, unit.slice);
}

Tensor RankMemory::OutputGradient(const Unit& unit) const {
  Carver carver(gradients_.At(BlocksOf(unit).output_gradient));
  return layout_.Hidden(carver, unit.slice);
}

Tensor RankMemory::InputGradient(const Unit& unit) const {
  if (unit.stage == 0) return Turn(0, BytesOfLongest().gradients, unit.slice);
  if (units_.IsLocal(unit.stage - 1))
    return OutputGradient({unit.stage - 1, unit.micro_batch, unit.slice});
  Carver carver(gradients_.At(BlocksOf(unit).input_gradient));
  return layout_.Hidden(carver, unit.slice);
}

Tensor RankMemory::Turn(int64_t turn, int64_t offset, int slice) const {
  const int64_t stride = BytesOfLongest().hidden;
  Carver carver(SharedRegion() + offset + turn % kNumTurns * stride);
  return layout_.Hidden(carver, slice);
}

LayerActivations RankMemory::Activations(const Unit& unit, int64_t layer) const {
  const int64_t i = layer - FirstLayer(unit);
  const int64_t last = NumLayers(unit) - 1;
  const int64_t kept_bytes = BytesOf(unit.slice).kept;
  // The output of layer i < last, which is the input of layer i + 1.
  const auto between = [&](int64_t index) {
    const int64_t own_hidden = BytesOf(unit.slice).own_hidden;
    Carver carver(IsStep()
                      ? activations_.At(BlocksOf(unit).kept) + (last + 1) * kept_bytes +
                            index * own_hidden
                      : static_cast<char*>(Turn(index, BytesOfLongest().kept, unit.slice).data()));
    return layout_.OwnHidden(carver, unit.slice);
  };
  Carver kept(IsStep() ? activations_.At(BlocksOf(unit).kept) + i * kept_bytes : SharedRegion());
  LayerActivations a = layout_.Kept(kept, unit.slice);
  a.x = i == 0 ? Input(unit) : between(i - 1);
  a.z = i == last ? Output(unit) : between(i);
  Carver qkv(activations_.At(MicroBatchOf(unit).qkv) + i % NumQkv(unit) * qkv_bytes_);
  a.qkv = layout_.Qkv(qkv);
  return a;
}

LayerGradients RankMemory::Gradients(const Unit& unit, int64_t layer, OpKind backward) const {
  const int64_t i = layer - FirstLayer(unit);
  const bool shared = backward == OpKind::kBackward;
  Carver carver(shared ? SharedRegion()
                       : gradients_.At(BlocksOf(unit).layer_gradients) +
                             i * BytesOf(unit.slice).gradients);
  LayerGradients g = layout_.Gradients(carver, unit.slice);
  g.dz = i == NumLayers(unit) - 1 ? OutputGradient(unit)
                                  : LayerInputGradient(unit, layer + 1, backward);
  return g;
}

Tensor RankMemory::LayerInputGradient(const Unit& unit, int64_t layer, OpKind backward) const {
  const int64_t i = layer - FirstLayer(unit);
  if (i == 0) return InputGradient(unit);
  if (backward == OpKind::kBackward) {
    return Turn(i, BytesOfLongest().gradients, unit.slice);
  }
  Carver carver(gradients_.At(BlocksOf(unit).layer_gradients) +
                NumLayers(unit) * BytesOf(unit.slice).gradients +
                (i - 1) * BytesOf(unit.slice).hidden);
  return layout_.Hidden(carver, unit.slice);
}

Tensor RankMemory::KeyValueAccumulator(const Unit& unit, int64_t layer) const {
  if (!layout_.needs_key_value_accumulator()) return Tensor();
  Carver carver(gradients_.At(MicroBatchOf(unit).key_value_accumulator) +
                (layer - FirstLayer(unit)) * key_value_bytes_);
  return layout_.KeyValueAccumulator(carver);
}

LayerScratch RankMemory::Scratch(const Unit& unit) const {
  Carver carver(scratch_);
  return layout_.Scratch(carver, unit.slice);
}

}  // namespace sluice
