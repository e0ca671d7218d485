// How a schedule is executed: FindError and Simulate assume these rules, the executor follows them.
//
// A rank executes the ops of its list in order.
//
// - Compute ops run one after the other, in list order, on the rank's compute stream.
// - A *channel* is an ordered pair of ranks (from, to). It carries activations and gradients alike,
//   one transfer at a time, in order: the k-th send in the list of `from` to `to` is the k-th
//   receive from `from` in the list of `to`. Channels are independent of each other and of compute,
//   so a rank has, for each peer, one stream for sending and one for receiving.
// - A send or receive is *posted* when all compute ops before it in the list have ended. Posting
//   does not block the ops after it: a send overlaps the next unit's compute.
// - A Forward whose input comes from another rank starts when its RecvActivation has ended, a
//   Backward or BackwardInput when its RecvGradient has. A send is waited for only before its
//   buffer is written again and at the end of the step.
//
// With MPI, the executor calls Isend or Irecv when it reaches the op, and Wait before the compute
// op that needs the data. On CUDA, each channel has a stream that waits for an event of the compute
// stream, and the compute stream waits for an event of the channel. NCCL runs the operations of one
// communicator in order, so each channel has its own communicator.
//
// Communication adds no deadlock: ranks wait for data only, and channels match in order, so a run
// stops only if compute ops wait for each other in a cycle. The plain alternative, one queue per
// rank in which each op waits for the end of the previous one, has such cycles: with rendezvous
// sends, two neighbours in the steady state of 1F1B send to each other and neither receives.
// QueueSemantics::kSingle selects this alternative.
#pragma once

namespace sluice {

enum class SendSemantics {
  kBuffered,    // a transfer starts once its send is posted
  kRendezvous,  // a transfer starts once its send and its receive are posted; what NCCL does
};

enum class QueueSemantics {
  kPerChannel,  // as described above
  kSingle,      // sends and receives queue with compute: each op starts when the previous one has
                // ended, and a buffered send ends at once
};

struct ExecutionModel {
  SendSemantics sends = SendSemantics::kRendezvous;
  QueueSemantics queues = QueueSemantics::kPerChannel;
};

}  // namespace sluice
