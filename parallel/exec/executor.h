// Runs one rank's list of ops, for any schedule, plan, communicator and device. The executor is a
// switch over op kinds; no scheme's name is in it.
//
//   Executor executor(plan, backend, comm);      // one per rank: allocates, draws initial values
//   executor.RunStep();                          // one pass: a forward, or a forward and backward
//   executor.loss();
//
// parallel/schedule/execution_model.h defines how ops are executed, and why that cannot deadlock.
// RunStep allocates nothing and starts from the same weights every time; each step overwrites the
// gradients. After the last op, weight gradients are summed over data-parallel ranks, and those of
// replicated parameters over a tensor-parallel group that splits the sequence.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/backend/backend.h"
#include "core/model/initial_values.h"
#include "core/model/layer_runner.h"
#include "parallel/comm/communicator.h"
#include "parallel/exec/job_plan.h"
#include "parallel/exec/op_timeline.h"
#include "parallel/exec/rank_memory.h"
#include "parallel/exec/traffic.h"
#include "parallel/plan/layer_plan.h"

namespace sluice {

// All gradients in memory are this many times the true ones, because small ones would underflow in
// fp16. Readers divide by it (correctness/results does).
double LossScale(Precision precision);

// Receives tensors during a step, for checks. It makes the host wait, so do not set one while
// timing.
struct Observer {
  // The output of the last stage's unit, own rows; and the gradient of the model's input.
  std::function<void(const Unit&, const Tensor& own_rows)> output;
  std::function<void(const Unit&, const Tensor& own_rows)> input_gradient;
};

class Executor {
 public:
  // `world` has plan.config.sizes.world_size() ranks and moves memory of the backend's device. All
  // arguments must outlive the executor. All ranks construct theirs together: the constructor
  // splits `world`, connects ranks that send to each other, and rehearses if the kernels tune.
  Executor(const JobPlan& plan, Backend& backend, Communicator& world)
      : Executor(plan, backend, world, DrawnValues(plan.config.seed)) {}
  // With `values` instead of those of the seed. Only the constructor reads them. With
  // `shared_weights`, values of layers that are already there are not read again; the weights must
  // outlive the executor.
  Executor(const JobPlan& plan, Backend& backend, Communicator& world, const InitialValues& values,
           RankWeights* shared_weights = nullptr);
  // Allows the kernels to tune again.
  ~Executor();

  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Enqueues one pass and waits for its results.
  void RunStep() {
    EnqueueStep();
    FinishStep();
  }

  // The two halves of RunStep, for callers that time the stream between them.
  void EnqueueStep();
  void FinishStep();

  // Captures the pass as a graph, which EnqueueStep then launches with one call instead of one per
  // kernel. Call it after the first pass, on all ranks, and only if `can_capture`: no communication
  // of the pass may block the host.
  bool can_capture() const { return plan_.config.sizes.world_size() == 1 || world_.can_capture(); }
  void Capture();

  // Records when each op runs, in the passes enqueued until StopRecording. If the pass is a graph,
  // both calls capture it again, with and without timestamps. Call it after the first pass, and
  // only if all ranks `can_record`: the device must hold all timestamps of a pass.
  bool can_record() const { return timeline_.num_timestamps() <= timeline_.max_timestamps(); }
  void StartRecording();
  void StopRecording();
  OpTimeline& timeline() { return timeline_; }

  // Runs later passes on `kernels`, which the backend then owns, and returns those of the passes so
  // far: to time what a pass costs besides kernels.
  std::unique_ptr<Kernels> ExchangeKernels(std::unique_ptr<Kernels> kernels);

  // The loss of the last step over the whole batch, on every rank. A collective of all ranks. The
  // job must have a loss.
  double loss();

  const RankCoordinates& rank() const { return rank_; }
  const RankMemory& memory() const { return memory_; }
  TensorParallel& tensor_parallel() { return *tensor_parallel_; }
  void set_observer(const Observer* observer) { observer_ = observer; }

  // The rank's list of ops.
  const std::vector<Op>& ops() const;

  // What the rank communicates in one pass.
  const PassTraffic& traffic() const { return traffic_; }

 private:
  void ConnectReceivers();
  void ReserveLayerArgs();
  void MakeLayers();
  // Runs each compute op once, without messages, except ops that differ only in their micro-batch.
  // Kernels that tune do so here, and groups of ranks connect at their first collectives. Both
  // allocate and synchronise the device, which a step must not do while a message is in flight. A
  // step reads nothing that the rehearsal wrote.
  void Rehearse();
  void EnqueueOps();
  // Sets the position in the schedule that the message of a fault names.
  void SetPosition(size_t op_index);
  void RunOp(const Op& op);
  void RunForward(const Unit& unit);
  void RunBackward(const Op& op);
  void RunWeightGradients(const Unit& unit, OpKind backward);
  void StartLossGradient(const Unit& unit);
  void Post(const Op& op);
  void WaitForInputs(const Op& op);
  void WaitFor(OpKind kind, const Unit& unit);
  // Waits for the transfers that no later op waits for.
  void WaitForTransfers();
  void ReduceWeightGradients();
  // The transfer of this kind that was posted for a unit and not waited for; its id is < 0 if there
  // is none.
  Transfer& Pending(OpKind kind, const Unit& unit);
  // Makes the host wait in the middle of a step, for observers.
  void WaitForStream();

  // Marks the weight gradients of the unit's stage as written in this step. Returns how the unit
  // writes them: the first one overwrites, later ones accumulate.
  WriteMode MarkWritten(std::vector<char>& is_written, const Unit& unit);

  const JobPlan& plan_;
  Backend& backend_;
  RankCoordinates rank_;
  Communicator& world_;
  // Declared before the communicators, so that it is freed after them: they may still write to it.
  RankMemory memory_;
  std::unique_ptr<Communicator> pipeline_, tensor_, data_;
  OpTimeline timeline_;
  PassTraffic traffic_;
  std::unique_ptr<TensorParallel> tensor_parallel_;
  std::unique_ptr<LayerRunner> layer_runner_;
  // Arguments of the layers of a stage, refilled for each op without allocating.
  std::vector<LayerForwardArgs> forward_args_;
  std::vector<LayerBackwardArgs> backward_args_;
  std::vector<LayerBackwardWeightArgs> backward_weight_args_;
  const Observer* observer_ = nullptr;
  std::unique_ptr<StreamGraph> graph_;

  std::vector<Transfer> pending_[4];  // by TransferIndex, and LocalUnits::IndexOf
  std::vector<char> norm_is_written_, linear_is_written_;  // by stage
  WriteMode loss_mode_ = WriteMode::kOverwrite;
  int64_t step_ = 0;
};

}  // namespace sluice
