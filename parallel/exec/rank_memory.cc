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
    : plan_(plan), rank_(rank), layout_(plan, rank) {
  const Schedule& schedule = plan.schedule;
  index_of_layer_.resize(static_cast<size_t>(plan.config.model.num_layers));
  for (int stage = 0; stage < schedule.num_stages; ++stage) {
    if (!IsLocal(stage)) continue;
    const LayerRange& range = plan.layers_of_stage[static_cast<size_t>(stage)];
    for (int64_t layer = range.begin; layer < range.begin + range.num_layers; ++layer) {
      index_of_layer_[static_cast<size_t>(layer)] = layers_.size();
      layers_.push_back(layer);
    }
  }
  unit_blocks_.resize(static_cast<size_t>(NumUnits(schedule)));
  micro_batch_blocks_.resize(static_cast<size_t>(schedule.num_stages * schedule.num_micro_batches));
  const std::vector<Op>& ops = schedule.ops_of_rank[static_cast<size_t>(rank.pipeline)];
  const int64_t end = static_cast<int64_t>(ops.size());
  for (int64_t i = 0; i < end; ++i) PlanOp(ops[static_cast<size_t>(i)], i, end);
  activations_.plan = PlanArena(activations_.blocks);
  gradients_.plan = PlanArena(gradients_.blocks);
  PlanPermanent();
}

bool RankMemory::IsLocal(int stage) const {
  return stage >= 0 && stage < plan_.schedule.num_stages &&
         plan_.schedule.rank_of_stage[static_cast<size_t>(stage)] == rank_.pipeline;
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

RankMemory::UnitBlocks& RankMemory::BlocksOf(const Unit& unit) {
  return unit_blocks_[static_cast<size_t>(UnitIndex(plan_.schedule, unit))];
}

const RankMemory::UnitBlocks& RankMemory::BlocksOf(const Unit& unit) const {
  return unit_blocks_[static_cast<size_t>(UnitIndex(plan_.schedule, unit))];
}

RankMemory::MicroBatchBlocks& RankMemory::MicroBatchOf(const Unit& unit) {
  return micro_batch_blocks_[static_cast<size_t>(unit.stage * plan_.schedule.num_micro_batches +
                                                 unit.micro_batch)];
}

const RankMemory::MicroBatchBlocks& RankMemory::MicroBatchOf(const Unit& unit) const {
  return micro_batch_blocks_[static_cast<size_t>(unit.stage * plan_.schedule.num_micro_batches +
                                                 unit.micro_batch)];
}

int64_t RankMemory::OwnHiddenBytes(int slice) const {
  return layout_.SizeOfTaken([&](Carver& carver) { layout_.OwnHidden(carver, slice); });
}

int64_t RankMemory::HiddenBytes(int slice) const {
  return layout_.SizeOfTaken([&](Carver& carver) { layout_.Hidden(carver, slice); });
}

int64_t RankMemory::KeptBytes(int slice) const {
  return layout_.SizeOfTaken([&](Carver& carver) { layout_.Kept(carver, slice); });
}

int64_t RankMemory::GradientBytes(int slice) const {
  return layout_.SizeOfTaken([&](Carver& carver) { layout_.Gradients(carver, slice); });
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
      return Use(activations_, blocks.input, OwnHiddenBytes(slice), index);
    case OpKind::kRecvGradient:
      return Use(gradients_, blocks.output_gradient, HiddenBytes(slice), index);
    case OpKind::kSendActivation:
      return Use(activations_, blocks.output, 0, IsStep() ? index : end);
    case OpKind::kSendGradient:
      return Use(gradients_, blocks.input_gradient, 0, end);
  }
}

void RankMemory::PlanForward(const Unit& unit, int64_t index) {
  UnitBlocks& blocks = BlocksOf(unit);
  const Unit previous = {unit.stage - 1, unit.micro_batch, unit.slice};
  if (IsLocal(previous.stage)) {
    Use(activations_, BlocksOf(previous).output, 0, index);
  } else if (unit.stage > 0) {
    Use(activations_, blocks.input, 0, index);
  }
  const int64_t qkv_bytes = layout_.SizeOfTaken([&](Carver& carver) { layout_.Qkv(carver); });
  Use(activations_, MicroBatchOf(unit).qkv, NumQkv(unit) * qkv_bytes, index);
  // A cached prefix is drawn once and must outlive every pass.
  if (plan_.config.prefix_len > 0) {
    Lifetime& qkv = activations_.blocks[static_cast<size_t>(MicroBatchOf(unit).qkv)];
    qkv.begin = 0;
    qkv.end = std::numeric_limits<int64_t>::max();
  }
  const int64_t own_hidden = OwnHiddenBytes(unit.slice);
  if (IsStep()) {
    const int64_t layers = NumLayers(unit);
    Use(activations_, blocks.kept, layers * KeptBytes(unit.slice) + (layers - 1) * own_hidden,
        index);
  }
  Use(activations_, blocks.output, own_hidden, index);
}

void RankMemory::PlanBackward(const Op& op, int64_t index) {
  const Unit& unit = op.unit;
  UnitBlocks& blocks = BlocksOf(unit);
  const Unit previous = {unit.stage - 1, unit.micro_batch, unit.slice};
  if (IsLocal(previous.stage)) {
    Use(activations_, BlocksOf(previous).output, 0, index);
    Use(gradients_, BlocksOf(previous).output_gradient, HiddenBytes(unit.slice), index);
  } else if (unit.stage > 0) {
    Use(activations_, blocks.input, 0, index);
    Use(gradients_, blocks.input_gradient, HiddenBytes(unit.slice), index);
  }
  Use(activations_, MicroBatchOf(unit).qkv, 0, index);
  Use(activations_, blocks.kept, 0, index);
  Use(activations_, blocks.output, 0, index);
  Use(gradients_, blocks.output_gradient, HiddenBytes(unit.slice), index);
  if (layout_.needs_key_value_accumulator()) {
    const int64_t bytes =
        layout_.SizeOfTaken([&](Carver& carver) { layout_.KeyValueAccumulator(carver); });
    Use(gradients_, MicroBatchOf(unit).key_value_accumulator, NumLayers(unit) * bytes, index);
  }
  if (op.kind == OpKind::kBackwardInput) {
    const int64_t layers = NumLayers(unit);
    Use(gradients_, blocks.layer_gradients,
        layers * GradientBytes(unit.slice) + (layers - 1) * HiddenBytes(unit.slice), index);
  }
}

void RankMemory::PlanPermanent() {
  const int64_t num_layers = static_cast<int64_t>(layers_.size());
  const int longest = layout_.longest_slice();
  bytes_.weights =
      num_layers * layout_.SizeOfTaken([&](Carver& carver) { layout_.Weights(carver); });
  bytes_.activations = activations_.plan.size_bytes;
  bytes_.activation_gradients = gradients_.plan.size_bytes;
  bytes_.scratch = layout_.SizeOfTaken([&](Carver& carver) { layout_.Scratch(carver, longest); });
  if (IsStep()) {
    bytes_.weight_gradients =
        num_layers * layout_.SizeOfTaken([&](Carver& carver) { layout_.WeightGradients(carver); });
    bytes_.scratch += GradientBytes(longest) + kNumTurns * HiddenBytes(longest);
  } else {
    bytes_.scratch += KeptBytes(longest) + kNumTurns * HiddenBytes(longest);
  }
  int64_t per_micro_batch = 0;
  for (int slice = 0; slice < plan_.schedule.num_slices; ++slice) {
    if (IsLocal(0)) per_micro_batch += OwnHiddenBytes(slice);
    if (IsLocal(plan_.schedule.num_stages - 1) && plan_.config.loss == LossKind::kProjection) {
      per_micro_batch +=
          layout_.SizeOfTaken([&](Carver& carver) { layout_.Projection(carver, slice); });
    }
  }
  bytes_.input = plan_.schedule.num_micro_batches * per_micro_batch + AlignUp(sizeof(double));
}

int64_t RankMemory::UnitActivationBytes(const Unit& unit) const {
  const int64_t own_hidden = OwnHiddenBytes(unit.slice);
  const int64_t layers = NumLayers(unit);
  int64_t bytes = NumQkv(unit) * layout_.QkvRowsBytes(unit.slice) + own_hidden;
  if (IsStep()) bytes += layers * KeptBytes(unit.slice) + (layers - 1) * own_hidden;
  if (unit.stage > 0 && !IsLocal(unit.stage - 1)) bytes += own_hidden;
  return bytes;
}

void RankMemory::Allocate(Device& device) {
  const auto allocate = [&](int64_t size_bytes, std::string_view what) {
    buffers_.push_back(device.Allocate(size_bytes, what));
    return static_cast<char*>(buffers_.back().data());
  };
  Carver weights(allocate(bytes_.weights, "weights"));
  Carver gradients(allocate(bytes_.weight_gradients, "weight gradients"));
  for (size_t i = 0; i < layers_.size(); ++i) {
    weights_.push_back(layout_.Weights(weights));
    weight_gradients_.push_back(layout_.WeightGradients(gradients));
  }
  activations_.base = allocate(bytes_.activations, "activations");
  gradients_.base = allocate(bytes_.activation_gradients, "activation gradients");
  scratch_ = allocate(bytes_.scratch, "scratch memory");
  char* input = allocate(bytes_.input, "the input");
  loss_ = Tensor(input, layout_.accumulator_type(), {1});
  input_ = input + AlignUp(sizeof(double));
  projection_ = input_;
  if (IsLocal(0)) {
    for (int slice = 0; slice < plan_.schedule.num_slices; ++slice) {
      projection_ += plan_.schedule.num_micro_batches * OwnHiddenBytes(slice);
    }
  }
}

Tensor RankMemory::Input(const Unit& unit) const {
  if (unit.stage == 0) {
    Carver carver(input_);
    for (int mb = 0; mb <= unit.micro_batch; ++mb) {
      for (int slice = 0; slice < plan_.schedule.num_slices; ++slice) {
        const Tensor input = layout_.OwnHidden(carver, slice);
        if (mb == unit.micro_batch && slice == unit.slice) return input;
      }
    }
  }
  if (IsLocal(unit.stage - 1)) return Output({unit.stage - 1, unit.micro_batch, unit.slice});
  Carver carver(activations_.At(BlocksOf(unit).input));
  return layout_.OwnHidden(carver, unit.slice);
}

Tensor RankMemory::Projection(const Unit& unit) const {
  if (plan_.config.loss == LossKind::kMean) return Tensor();
  Carver carver(projection_);
  for (int mb = 0;; ++mb) {
    for (int slice = 0; slice < plan_.schedule.num_slices; ++slice) {
      const Tensor projection = layout_.Projection(carver, slice);
      if (mb == unit.micro_batch && slice == unit.slice) return projection;
    }
  }
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
  if (unit.stage == 0) return Turn(0, GradientBytes(layout_.longest_slice()), unit.slice);
  if (IsLocal(unit.stage - 1))
    return OutputGradient({unit.stage - 1, unit.micro_batch, unit.slice});
  Carver carver(gradients_.At(BlocksOf(unit).input_gradient));
  return layout_.Hidden(carver, unit.slice);
}

char* RankMemory::SharedRegion() const {
  return scratch_ + layout_.SizeOfTaken(
                        [&](Carver& carver) { layout_.Scratch(carver, layout_.longest_slice()); });
}

Tensor RankMemory::Turn(int64_t turn, int64_t offset, int slice) const {
  const int64_t stride = HiddenBytes(layout_.longest_slice());
  Carver carver(SharedRegion() + offset + turn % kNumTurns * stride);
  return layout_.Hidden(carver, slice);
}

LayerActivations RankMemory::Activations(const Unit& unit, int64_t layer) const {
  const int64_t i = layer - FirstLayer(unit);
  const int64_t last = NumLayers(unit) - 1;
  const int64_t kept_bytes = KeptBytes(unit.slice);
  // The output of layer i < last, which is the input of layer i + 1.
  const auto between = [&](int64_t index) {
    const int64_t own_hidden = OwnHiddenBytes(unit.slice);
    Carver carver(IsStep()
                      ? activations_.At(BlocksOf(unit).kept) + (last + 1) * kept_bytes +
                            index * own_hidden
                      : static_cast<char*>(
                            Turn(index, KeptBytes(layout_.longest_slice()), unit.slice).data()));
    return layout_.OwnHidden(carver, unit.slice);
  };
  Carver kept(IsStep() ? activations_.At(BlocksOf(unit).kept) + i * kept_bytes : SharedRegion());
  LayerActivations a = layout_.Kept(kept, unit.slice);
  a.x = i == 0 ? Input(unit) : between(i - 1);
  a.z = i == last ? Output(unit) : between(i);
  const int64_t qkv_bytes = layout_.SizeOfTaken([&](Carver& carver) { layout_.Qkv(carver); });
  Carver qkv(activations_.At(MicroBatchOf(unit).qkv) + i % NumQkv(unit) * qkv_bytes);
  a.qkv = layout_.Qkv(qkv);
  return a;
}

LayerGradients RankMemory::Gradients(const Unit& unit, int64_t layer, OpKind backward) const {
  const int64_t i = layer - FirstLayer(unit);
  const bool shared = backward == OpKind::kBackward;
  Carver carver(shared ? SharedRegion()
                       : gradients_.At(BlocksOf(unit).layer_gradients) +
                             i * GradientBytes(unit.slice));
  LayerGradients g = layout_.Gradients(carver, unit.slice);
  g.dz = i == NumLayers(unit) - 1 ? OutputGradient(unit)
                                  : LayerInputGradient(unit, layer + 1, backward);
  return g;
}

Tensor RankMemory::LayerInputGradient(const Unit& unit, int64_t layer, OpKind backward) const {
  const int64_t i = layer - FirstLayer(unit);
  if (i == 0) return InputGradient(unit);
  if (backward == OpKind::kBackward) {
    return Turn(i, GradientBytes(layout_.longest_slice()), unit.slice);
  }
  Carver carver(gradients_.At(BlocksOf(unit).layer_gradients) +
                NumLayers(unit) * GradientBytes(unit.slice) + (i - 1) * HiddenBytes(unit.slice));
  return layout_.Hidden(carver, unit.slice);
}

Tensor RankMemory::KeyValueAccumulator(const Unit& unit, int64_t layer) const {
  if (!layout_.needs_key_value_accumulator()) return Tensor();
  const int64_t bytes =
      layout_.SizeOfTaken([&](Carver& carver) { layout_.KeyValueAccumulator(carver); });
  Carver carver(gradients_.At(MicroBatchOf(unit).key_value_accumulator) +
                (layer - FirstLayer(unit)) * bytes);
  return layout_.KeyValueAccumulator(carver);
}

LayerScratch RankMemory::Scratch(const Unit& unit) const {
  Carver carver(scratch_);
  return layout_.Scratch(carver, unit.slice);
}

}  // namespace sluice
