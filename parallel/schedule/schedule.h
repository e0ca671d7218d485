// A pipeline schedule: which rank computes which unit of work, in which order. Pure data, built by
// a scheme (parallel/schemes), completed by AddCommunication, judged by FindError, timed by
// Simulate and run by the executor.
//
// The model's layers are cut into stages, the batch into micro-batches, the sequence into slices. A
// unit is one (stage, micro_batch, slice). A stage is not a rank: several stages may be held by
// one. A "rank" here is a pipeline rank: its tensor-parallel and data-parallel copies all run the
// same list.
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

struct Unit {
  int stage = 0;
  int micro_batch = 0;
  int slice = 0;

  bool operator==(const Unit&) const = default;
};

// One entry of a rank's list. The unit of a send or receive is the one on the rank that executes
// it: SendActivation of stage 0 is matched by RecvActivation of stage 1.
struct Op {
  OpKind kind = OpKind::kForward;
  Unit unit;

  bool operator==(const Op&) const = default;
};

// What is computed: the forward alone, or a whole step of forward and backward.
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

// More units than this (num_stages x num_micro_batches x num_slices) are refused where a schedule
// comes from flags or from a file.
inline constexpr int kMaxNumUnits = 4'000'000;

// The unit's place in a row of all num_stages x num_micro_batches x num_slices.
int UnitIndex(const Schedule& schedule, const Unit& unit);
int NumUnits(const Schedule& schedule);

// A number that tells this schedule from others, for ranks to compare; the same on every machine.
uint64_t HashOf(const Schedule& schedule);

bool IsSend(OpKind kind);
bool IsRecv(OpKind kind);
bool IsCompute(OpKind kind);
// Backward or BackwardInput: the op that makes the gradient of the unit's input.
bool MakesInputGradient(OpKind kind);

// The stage at the other end of a send or receive: -1 or num_stages for one that leaves the
// pipeline.
int PeerStage(const Op& op);

// The rank at the other end of a send or receive whose peer stage exists.
int PeerRank(const Schedule& schedule, const Op& op);

// The op at the other end of a send or receive: RecvActivation of stage 1 for SendActivation of
// stage 0.
Op Counterpart(const Op& op);

// The receive without which `compute` cannot start on its rank, if its input comes from another
// rank: RecvActivation for a Forward, RecvGradient for a Backward or BackwardInput.
std::optional<Op> InputOf(const Schedule& schedule, const Op& compute);

// The send of what `compute` makes, if another rank needs it.
std::optional<Op> OutputOf(const Schedule& schedule, const Op& compute);

}  // namespace sluice
