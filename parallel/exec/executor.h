// Runs one rank's list of ops: any schedule, any plan, any communicator, any device.  A switch over
// op kinds; it knows no scheme.
//
//   Executor executor(plan, backend, comm);      // one per rank: allocates, draws initial values
//   executor.RunStep();                          // one pass: a forward, or a forward and backward
//   executor.loss();
//
// How ops are executed, and why that cannot deadlock, is written in
// parallel/schedule/execution_model.h.  RunStep allocates nothing and starts from the same weights
// every time; gradients are overwritten by each step.  After the last op, weight gradients are
// summed over data-parallel ranks, and those of replicated parameters over a tensor-parallel group
// that splits the sequence.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/backend/backend.h"
#include "core/model/initial_values.h"
#include "core/model/layer_runner.h"
#include "parallel/comm/communicator.h"
#include "parallel/exec/job.h"
#include "parallel/exec/op_timeline.h"
#include "parallel/exec/rank_memory.h"
#include "parallel/plan/layer_plan.h"

namespace sluice {

// All gradients in memory are this many times the true ones: fp16 would lose small ones.  Whoever
// reads them divides (correctness/results does).
double LossScale(Precision precision);

// Sees tensors on their way, for checks: never while timing.
struct Observer {
  // The output of the last stage's unit, own rows; and the gradient of the model's input.
  std::function<void(const Unit&, const Tensor& own_rows)> output;
  std::function<void(const Unit&, const Tensor& own_rows)> input_gradient;
};

class Executor {
 public:
  // `world` has plan.config.sizes.world_size() ranks, and moves memory of the backend's device. All
  // arguments must outlive the executor.  All ranks construct theirs together: it splits `world`,
  // connects those that send to each other, and rehearses where kernels tune.
  Executor(const JobPlan& plan, Backend& backend, Communicator& world)
      : Executor(plan, backend, world, DrawnValues(plan.config.seed)) {}
  // From other initial values than those of the seed; they are read here and no later. With
  // `shared_weights`, values of layers that are already there are not read again; the weights must
  // outlive the executor.
  Executor(const JobPlan& plan, Backend& backend, Communicator& world, const InitialValues& values,
           RankWeights* shared_weights = nullptr);
  // The kernels may tune again.
  ~Executor();

  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // One pass.  Enqueues it, and waits until its results are there.
  void RunStep() {
    EnqueueStep();
    FinishStep();
  }

  // The two halves of RunStep, for whoever times the stream between them.
  void EnqueueStep();
  void FinishStep();

  // Records the pass as a graph, which EnqueueStep then launches with one call instead of one per
  // kernel.  After the first pass, on all ranks, and only where no rank meets another on the host:
  // `can_capture`.
  bool can_capture() const { return plan_.config.sizes.world_size() == 1 || world_.can_capture(); }
  void Capture();

  // Records when each op of the passes runs that are enqueued from now on, until StopRecording. A
  // pass that is a graph is captured again by both, with timestamps in it and without.  After the
  // first pass, and only where all ranks `can_record`: a pass has no more timestamps than the
  // device holds.
  bool can_record() const { return timeline_.num_timestamps() <= timeline_.max_timestamps(); }
  void StartRecording();
  void StopRecording();
  OpTimeline& timeline() { return timeline_; }

  // Runs later passes on `kernels`, which the backend then owns, and returns those of the passes so
  // far: to time what a pass costs besides kernels.
  std::unique_ptr<Kernels> ExchangeKernels(std::unique_ptr<Kernels> kernels);

  // The loss of the last step over the whole batch; on every rank.  A collective. The job must have
  // a loss.
  double loss();

  const RankCoordinates& rank() const { return rank_; }
  const RankMemory& memory() const { return memory_; }
  TensorParallel& tensor_parallel() { return *tensor_parallel_; }
  void set_observer(const Observer* observer) { observer_ = observer; }

  // The rank's list.
  const std::vector<Op>& ops() const;

  // Bytes given to sends of activations and gradients in one step.
  int64_t sent_bytes() const { return sent_bytes_; }

 private:
  void ConnectReceivers();
  void ReserveLayerArgs();
  void MakeLayers();
  // Runs each op that differs from others in more than its micro-batch once, without messages.
  // Kernels that tune do so here, and groups of ranks connect at their first collectives: both
  // allocate and synchronise the device, which a step must not do while a message is under way.
  // Leaves nothing that a step reads.
  void Rehearse();
  void EnqueueOps();
  // What this rank does from now on, for the message of a fault.
  void SetPosition(size_t op_index);
  void RunOp(const Op& op);
  void RunForward(const Unit& unit);
  void RunBackward(const Op& op);
  void RunWeightGradients(const Unit& unit, OpKind backward);
  void StartLossGradient(const Unit& unit);
  void Post(const Op& op);
  void WaitForInputs(const Op& op);
  void WaitFor(OpKind kind, const Unit& unit);
  // For all that no later op waits for.
  void WaitForTransfers();
  void ReduceWeightGradients();
  // The transfer of this kind that has been posted for a unit and not been waited for; id < 0:
  // none.
  Transfer& Pending(OpKind kind, const Unit& unit);
  // For observers: the host waits in the middle of a step.
  void WaitForStream();

  const LayerRange& LayersOf(const Unit& unit) const;
  // Whether this is the first gradient of the stage's weights in this step; the next ones are
  // added.
  WriteMode WeightWriteMode(std::vector<char>& is_written, const Unit& unit);

  const JobPlan& plan_;
  Backend& backend_;
  RankCoordinates rank_;
  Communicator& world_;
  // Goes after the communicators, which may still write it.
  RankMemory memory_;
  std::unique_ptr<Communicator> pipeline_, tensor_, data_;
  OpTimeline timeline_;
  std::unique_ptr<TensorParallel> tensor_parallel_;
  std::unique_ptr<LayerRunner> layer_runner_;
  // Of the layers of a stage, filled anew for each op without allocating.
  std::vector<LayerForwardArgs> forward_args_;
  std::vector<LayerBackwardArgs> backward_args_;
  std::vector<LayerBackwardWeightArgs> backward_weight_args_;
  const Observer* observer_ = nullptr;
  std::unique_ptr<StreamGraph> graph_;

  std::vector<Transfer> pending_[4];  // by kind of transfer, and unit of the rank
  std::vector<char> norm_is_written_, linear_is_written_;  // by stage
  WriteMode loss_mode_ = WriteMode::kOverwrite;
  int64_t sent_bytes_ = 0;
  int64_t step_ = 0;
};

}  // namespace sluice
