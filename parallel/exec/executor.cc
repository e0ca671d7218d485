#include "parallel/exec/executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <tuple>
#include <utility>

#include "core/base/check.h"
#include "core/model/small_layers.h"
#include "parallel/comm/rank_status.h"
#include "parallel/exec/initialize.h"
#include "parallel/exec/small_layer_choice_of.h"
#include "parallel/schedule/schedule_text.h"

namespace sluice {
namespace {

// The index of a kind of transfer in the table of pending ones.
size_t TransferIndex(OpKind kind) {
  SLUICE_CHECK(!IsCompute(kind));
  return static_cast<size_t>(kind) - static_cast<size_t>(OpKind::kSendActivation);
}

// The tag of a transfer, the same on both ends: activation or gradient, and the unit of the lower
// of the two stages.
int TagOf(const Schedule& schedule, const Op& op) {
  const bool is_gradient = op.kind == OpKind::kSendGradient || op.kind == OpKind::kRecvGradient;
  Unit lower = op.unit;
  lower.stage = std::min(op.unit.stage, PeerStage(op));
  return (2 * UnitIndex(schedule, lower) + (is_gradient ? 1 : 0)) % (kMaxTag + 1);
}

}  // namespace

double LossScale(Precision precision) { return precision == Precision::kFloat16 ? 128 : 1; }

Executor::Executor(const JobPlan& plan, Backend& backend, Communicator& world,
                   const InitialValues& values, RankWeights* shared_weights)
    : plan_(plan),
      backend_(backend),
      rank_(CoordinatesOf(world.rank(), plan.config.sizes)),
      world_(world),
      memory_(plan, rank_),
      timeline_(*backend.stream, ops().size()) {
  const ParallelSizes& sizes = plan.config.sizes;
  SLUICE_CHECK_EQ(world.world_size(), sizes.world_size());
  // The groups along each axis: ranks of a group differ in that coordinate only.
  pipeline_ = world.Split({rank_.data * sizes.tensor + rank_.tensor, rank_.pipeline});
  tensor_ = world.Split({rank_.data * sizes.pipeline + rank_.pipeline, rank_.tensor});
  data_ = world.Split({rank_.pipeline * sizes.tensor + rank_.tensor, rank_.data});
  ConnectReceivers();
  tensor_parallel_ = MakeTensorParallel(plan.config.plan, *tensor_);
  if (tensor_->world_size() > 1) {
    tensor_parallel_ = std::make_unique<TimedTensorParallel>(std::move(tensor_parallel_), timeline_,
                                                             traffic_.tensor_collectives);
  }
  MakeLayers();
  ReserveLayerArgs();
  // All memory, then the initial values in it.
  backend_.kernels->Reserve(memory_.layout().limits());
  memory_.Allocate(*backend_.device, shared_weights);
  for (std::vector<Transfer>& transfers : pending_) transfers.resize(memory_.units().num_units());
  norm_is_written_.resize(plan.schedule.num_stages);
  linear_is_written_.resize(plan.schedule.num_stages);
  InitializeRank(plan, rank_, *tensor_parallel_, values, memory_, *backend_.device);
  if (shared_weights != nullptr) shared_weights->num_drawn = shared_weights->tensors.size();
  if (backend_.kernels->tunes()) Rehearse();
}

Executor::~Executor() { backend_.kernels->set_tuning(Tuning::kAllowed); }

void Executor::MakeLayers() {
  layer_runner_ = MakeLayerRunner(*backend_.kernels, *tensor_parallel_, backend_.small_layer.get(),
                                  SmallLayerChoiceOf(plan_, backend_.small_layer.get()));
}

std::unique_ptr<Kernels> Executor::ExchangeKernels(std::unique_ptr<Kernels> kernels) {
  std::unique_ptr<Kernels> replaced = std::exchange(backend_.kernels, std::move(kernels));
  MakeLayers();
  return replaced;
}

void Executor::ReserveLayerArgs() {
  size_t max_layers = 0;
  for (const LayerRange& layers : plan_.layers_of_stage) {
    max_layers = std::max(max_layers, static_cast<size_t>(layers.num_layers));
  }
  forward_args_.reserve(max_layers);
  backward_args_.reserve(max_layers);
  backward_weight_args_.reserve(max_layers);
}

void Executor::Rehearse() {
  std::set<std::tuple<OpKind, int, int, char, char>> rehearsed;
  for (const Op& op : ops()) {
    if (!IsCompute(op.kind)) continue;
    const auto stage = static_cast<size_t>(op.unit.stage);
    // The first gradient of a weight overwrites and later ones accumulate, with other kernels.
    if (rehearsed
            .insert({op.kind, op.unit.stage, op.unit.slice, norm_is_written_[stage],
                     linear_is_written_[stage]})
            .second) {
      RunOp(op);
    }
  }
  if (plan_.config.pass == Pass::kStep) ReduceWeightGradients();
  pipeline_->Drain();
  backend_.stream->Synchronize();
  backend_.kernels->set_tuning(Tuning::kForbidden);
}

void Executor::ConnectReceivers() {
  std::vector<char> is_receiver(static_cast<size_t>(plan_.schedule.num_ranks));
  std::vector<int> receivers;
  for (const Op& op : ops()) {
    if (!IsSend(op.kind)) continue;
    const int peer = PeerRank(plan_.schedule, op);
    if (is_receiver[peer]) continue;
    is_receiver[peer] = true;
    receivers.push_back(peer);
  }
  pipeline_->Connect(receivers);
}

const std::vector<Op>& Executor::ops() const { return plan_.schedule.ops_of_rank[rank_.pipeline]; }

void Executor::EnqueueStep() {
  if (graph_ == nullptr) return EnqueueOps();
  world_.SetPosition({.step = step_});
  graph_->Launch();
}

void Executor::FinishStep() {
  pipeline_->Drain();
  backend_.stream->Synchronize();
  ++step_;
}

void Executor::WaitForStream() {
  world_.WaitUntil({CommOp::kDrain}, [this] { return backend_.stream->IsIdle(); });
}

void Executor::Capture() {
  SLUICE_CHECK(can_capture());
  graph_.reset();  // frees the old graph first, because a graph of many kernels is large
  graph_ = backend_.stream->Capture([this] { EnqueueOps(); });
}

void Executor::StartRecording() {
  SLUICE_CHECK(can_record());
  timeline_.Start();
  if (graph_ != nullptr) Capture();
}

void Executor::StopRecording() {
  if (!timeline_.is_recording()) return;
  timeline_.Stop();
  if (graph_ != nullptr) Capture();
}

void Executor::EnqueueOps() {
  std::fill(norm_is_written_.begin(), norm_is_written_.end(), 0);
  std::fill(linear_is_written_.begin(), linear_is_written_.end(), 0);
  loss_mode_ = WriteMode::kOverwrite;
  traffic_ = {};
  timeline_.BeginPass();
  for (size_t i = 0; i < ops().size(); ++i) {
    SetPosition(i);
    const Op& op = ops()[i];
    WaitForInputs(op);
    if (IsCompute(op.kind)) {
      timeline_.Enter(Activity::kCompute, static_cast<int>(i));
    } else {
      timeline_.Enter(Activity::kMessages);
    }
    RunOp(op);
  }
  WaitForTransfers();
  if (plan_.config.pass == Pass::kStep) ReduceWeightGradients();
  timeline_.EndPass();
}

void Executor::SetPosition(size_t op_index) {
  const OpLabel label(ops()[op_index]);
  world_.SetPosition(
      {.step = step_, .op_index = static_cast<int64_t>(op_index), .label = label.text()});
}

void Executor::WaitForTransfers() {
  for (size_t i = 0; i < ops().size(); ++i) {
    if (IsCompute(ops()[i].kind) || Pending(ops()[i].kind, ops()[i].unit).id < 0) continue;
    SetPosition(i);
    WaitFor(ops()[i].kind, ops()[i].unit);
  }
}

Transfer& Executor::Pending(OpKind kind, const Unit& unit) {
  return pending_[TransferIndex(kind)][memory_.units().IndexOf(unit)];
}

void Executor::RunOp(const Op& op) {
  switch (op.kind) {
    case OpKind::kForward:
      return RunForward(op.unit);
    case OpKind::kBackward:
    case OpKind::kBackwardInput:
      return RunBackward(op);
    case OpKind::kBackwardWeight:
      return RunWeightGradients(op.unit, OpKind::kBackwardInput);
    case OpKind::kSendActivation:
    case OpKind::kRecvActivation:
    case OpKind::kSendGradient:
    case OpKind::kRecvGradient:
      return Post(op);
  }
}

void Executor::Post(const Op& op) {
  const Peer peer = {.rank = PeerRank(plan_.schedule, op), .tag = TagOf(plan_.schedule, op)};
  Transfer& transfer = Pending(op.kind, op.unit);
  Tensor tensor;
  switch (op.kind) {
    case OpKind::kSendActivation:
      tensor = memory_.Output(op.unit);
      break;
    case OpKind::kRecvActivation:
      tensor = memory_.Input(op.unit);
      break;
    case OpKind::kSendGradient:
      tensor = tensor_parallel_->OwnRows(memory_.InputGradient(op.unit));
      break;
    case OpKind::kRecvGradient:
      tensor = tensor_parallel_->OwnRows(memory_.OutputGradient(op.unit));
      break;
    default:
      SLUICE_CHECK(false);
  }
  if (IsSend(op.kind)) {
    traffic_.sends.Add(tensor.num_bytes());
    transfer = pipeline_->Isend(PayloadOf(tensor), peer);
  } else {
    transfer = pipeline_->Irecv(PayloadOf(tensor), peer);
  }
}

void Executor::WaitFor(OpKind kind, const Unit& unit) {
  Transfer& transfer = Pending(kind, unit);
  if (transfer.id < 0) return;
  timeline_.Enter(Activity::kMessages);
  pipeline_->Wait(transfer);
  transfer = {};
}

void Executor::WaitForInputs(const Op& op) {
  if (op.kind == OpKind::kForward) WaitFor(OpKind::kRecvActivation, op.unit);
  if (!MakesInputGradient(op.kind)) return;
  WaitFor(OpKind::kRecvGradient, op.unit);
  // The peer has used the activation, since it sent the gradient. Its block may be reused after
  // this wait.
  WaitFor(OpKind::kSendActivation, op.unit);
}

void Executor::RunForward(const Unit& unit) {
  const int64_t prefix_len = plan_.config.prefix_len + plan_.SliceOf(unit).begin;
  const LayerRange& layers = plan_.LayersOf(unit);
  forward_args_.clear();
  for (int64_t layer = layers.begin; layer < layers.begin + layers.num_layers; ++layer) {
    forward_args_.push_back({.weights = memory_.Weights(layer),
                             .prefix_len = prefix_len,
                             .activations = memory_.Activations(unit, layer),
                             .scratch = memory_.Scratch(unit)});
  }
  layer_runner_->Forward(forward_args_);
  if (unit.stage != plan_.schedule.num_stages - 1) return;
  const Tensor output = memory_.Output(unit);
  if (plan_.config.loss != LossKind::kNone) {
    const double num_elements = static_cast<double>(
        plan_.config.model.seq_len * plan_.config.batch_size * plan_.config.model.hidden_size);
    backend_.kernels->LossForward({.z = output,
                                   .r = memory_.Projection(unit),
                                   .scale = 1 / num_elements,
                                   .loss = memory_.Loss(),
                                   .write_mode = loss_mode_});
    loss_mode_ = WriteMode::kAccumulate;
  }
  if (observer_ != nullptr) {
    WaitForStream();
    observer_->output(unit, output);
  }
}

void Executor::StartLossGradient(const Unit& unit) {
  const double num_elements = static_cast<double>(
      plan_.config.model.seq_len * plan_.config.batch_size * plan_.config.model.hidden_size);
  backend_.kernels->LossBackward({.r = memory_.Projection(unit),
                                  .scale = LossScale(plan_.config.precision) / num_elements,
                                  .dz = tensor_parallel_->OwnRows(memory_.OutputGradient(unit))});
}

WriteMode Executor::MarkWritten(std::vector<char>& is_written, const Unit& unit) {
  char& written = is_written[unit.stage];
  const WriteMode mode = written != 0 ? WriteMode::kAccumulate : WriteMode::kOverwrite;
  written = 1;
  return mode;
}

void Executor::RunBackward(const Op& op) {
  const Unit& unit = op.unit;
  if (unit.stage == plan_.schedule.num_stages - 1) StartLossGradient(unit);
  const int64_t prefix_len = plan_.config.prefix_len + plan_.SliceOf(unit).begin;
  const bool is_last_slice = unit.slice == plan_.schedule.num_slices - 1;
  LayerWriteModes write_modes = {.norms = MarkWritten(norm_is_written_, unit)};
  if (op.kind == OpKind::kBackward) {
    write_modes.linears = MarkWritten(linear_is_written_, unit);
  }
  const LayerRange& layers = plan_.LayersOf(unit);
  backward_args_.clear();
  for (int64_t layer = layers.begin; layer < layers.begin + layers.num_layers; ++layer) {
    backward_args_.push_back(
        {.weights = memory_.Weights(layer),
         .weight_gradients = memory_.WeightGradients(layer),
         .prefix_len = prefix_len,
         .activations = memory_.Activations(unit, layer),
         .gradients = memory_.Gradients(unit, layer, op.kind),
         .key_value = {.dkv_accumulator = memory_.KeyValueAccumulator(unit, layer),
                       .write_mode =
                           is_last_slice ? WriteMode::kOverwrite : WriteMode::kAccumulate},
         .scratch = memory_.Scratch(unit),
         .write_modes = write_modes,
         .dx = tensor_parallel_->OwnRows(memory_.LayerInputGradient(unit, layer, op.kind))});
  }
  layer_runner_->Backward(backward_args_);
  if (unit.stage == 0 && observer_ != nullptr) {
    WaitForStream();
    observer_->input_gradient(unit, tensor_parallel_->OwnRows(memory_.InputGradient(unit)));
  }
}

void Executor::RunWeightGradients(const Unit& unit, OpKind backward) {
  const WriteMode mode = MarkWritten(linear_is_written_, unit);
  const LayerRange& layers = plan_.LayersOf(unit);
  backward_weight_args_.clear();
  for (int64_t layer = layers.begin; layer < layers.begin + layers.num_layers; ++layer) {
    backward_weight_args_.push_back({.weight_gradients = memory_.WeightGradients(layer),
                                     .activations = memory_.Activations(unit, layer),
                                     .gradients = memory_.Gradients(unit, layer, backward),
                                     .write_mode = mode});
  }
  layer_runner_->BackwardWeight(backward_weight_args_);
}

void Executor::ReduceWeightGradients() {
  const bool sum_norms = tensor_parallel_->splits_sequence();
  if (!sum_norms && data_->world_size() == 1) return;
  for (const int64_t layer : memory_.layers()) {
    std::array<char, 64> label;
    const auto end =
        fmt::format_to_n(label.data(), label.size(), "weight gradients of layer {}", layer).out;
    world_.SetPosition({.step = step_, .label = {label.data(), end}});
    const LayerParameterTensors& gradients = memory_.WeightGradients(layer);
    if (sum_norms) {
      timeline_.Enter(Activity::kTensorCollectives);
      for (const Parameter norm : {kAttnLnWeight, kAttnLnBias, kFcLnWeight, kFcLnBias}) {
        traffic_.tensor_collectives.Add(gradients[norm].num_bytes());
        tensor_->AllReduce(PayloadOf(gradients[norm]), ReduceOp::kSum);
      }
    }
    if (data_->world_size() == 1) continue;
    timeline_.Enter(Activity::kDataCollectives);
    for (const Tensor& gradient : gradients) {
      traffic_.data_collectives.Add(gradient.num_bytes());
      data_->AllReduce(PayloadOf(gradient), ReduceOp::kSum);
    }
  }
}

double Executor::loss() {
  SLUICE_CHECK(plan_.config.loss != LossKind::kNone);
  double sum = 0;
  // If a tensor-parallel group splits the sequence, each of its ranks holds a part of the loss.
  // Otherwise all of them hold the same part, and only the first one adds it.
  const bool has_last_stage = plan_.schedule.rank_of_stage.back() == rank_.pipeline &&
                              (rank_.tensor == 0 || tensor_parallel_->splits_sequence());
  if (has_last_stage) sum = ReadTensor(*backend_.device, memory_.Loss()).front();
  world_.host().AllReduce({&sum, 1, DType::kFloat64}, ReduceOp::kSum);
  return sum;
}

}  // namespace sluice
