// A pipeline schedule: which rank computes which unit of work, in which order. It is data: a scheme
// (parallel/schemes) builds it or a file contains it (schedule_file.h), AddCommunication completes
// it, FindError checks it, Simulate times it and the executor runs it.
//
// The model's layers are divided into stages, the batch into micro-batches, the sequence into
// slices. A unit is one (stage, micro_batch, slice). A stage is not a rank: one rank may hold
// several stages. A "rank" here is a pipeline rank: its tensor-parallel and data-parallel copies
// all run the same list.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace sluice {

enum class OpKind {
  kForward,
  kBackward,       // the whole backward: gradients of the input and of the weights
  kBackwardInput,  // the gradient of the input only; kBackwardWeight of the same unit follows later
  kBackwardWeight,
  kSendActivation,  // the output of this unit's forward, to the rank of the next stage
  kRecvActivation,  // the input of this unit's forward, from the rank of the previous stage
  kSendGradient,    // the gradient of this unit's input, to the rank of the previous stage
  kRecvGradient,    // the gradient of this unit's output, from the rank of the next stage
};
inline constexpr int kNumOpKinds = static_cast<int>(OpKind::kRecvGradient) + 1;

struct Unit {
  int stage = 0;
  int micro_batch = 0;
  int slice = 0;

  bool operator==(const Unit&) const = default;
};

// One entry of a rank's list. The unit of a send or receive is the one on the rank that executes
// it: SendActivation of stage 0 matches RecvActivation of stage 1.
struct Op {
  OpKind kind = OpKind::kForward;
  Unit unit;

  bool operator==(const Op&) const = default;
};

// The forward alone, or a step: forward and backward.
enum class Pass { kForward, kStep };

struct Schedule {
  int num_stages = 0;
  int num_ranks = 0;
  int num_micro_batches = 0;
  int num_slices = 0;
  Pass pass = Pass::kStep;
  std::vector<int> rank_of_stage;            // [num_stages]
  std::vector<std::vector<Op>> ops_of_rank;  // [num_ranks], each in the order of execution

  bool operator==(const Schedule&) const = default;
};

// The largest number of units (num_stages x num_micro_batches x num_slices) of a schedule that
// comes from flags or from a file.
inline constexpr int kMaxNumUnits = 4'000'000;

// The index of a unit among all num_stages x num_micro_batches x num_slices of them.
int UnitIndex(const Schedule& schedule, const Unit& unit);
int NumUnits(const Schedule& schedule);

// A hash by which ranks and results tell schedules apart; the same on every machine.
uint64_t HashOf(const Schedule& schedule);

// Returns the forward pass of `schedule`: its Forwards in their order, with the transfers of
// activations if it has communication.
Schedule ForwardOf(Schedule schedule);

bool IsSend(OpKind kind);
bool IsRecv(OpKind kind);
bool IsCompute(OpKind kind);
// Whether `kind` is part of a forward pass: Forward, SendActivation or RecvActivation.
bool IsOfForward(OpKind kind);
// Whether `kind` computes the gradient of the unit's input: Backward or BackwardInput.
bool MakesInputGradient(OpKind kind);

// The stage at the other end of a send or receive: -1 or num_stages if it is outside the pipeline.
int PeerStage(const Op& op);

// The rank at the other end of a send or receive whose peer stage exists.
int PeerRank(const Schedule& schedule, const Op& op);

// The op at the other end of a send or receive: RecvActivation of stage 1 for SendActivation of
// stage 0.
Op Counterpart(const Op& op);

// The receive without which `compute` cannot start on its rank, if its input comes from another
// rank: RecvActivation for a Forward, RecvGradient for a Backward or BackwardInput.
std::optional<Op> InputOf(const Schedule& schedule, const Op& compute);

// The send of the result of `compute`, if another rank needs it.
std::optional<Op> OutputOf(const Schedule& schedule, const Op& compute);

}  // namespace sluice
