// How a schedule's lists are executed: what FindError and Simulate assume and the executor does.
//
// A rank takes the ops of its list in order.
//
// - Compute ops run one after the other, in list order, on the rank's compute stream.
// - A *channel* is an ordered pair of ranks (from, to). It carries activations and gradients alike,
//   one transfer at a time, in order: the k-th send in the list of `from` to `to` is the k-th
//   receive from `from` in the list of `to`. Channels are independent of each other and of compute,
//   so a rank has, for each peer, one stream for sending and one for receiving.
// - A send or receive is *posted* when all compute ops before it in the list have ended, and
//   posting does not hold up what comes after it: a send overlaps the next unit's compute.
// - A Forward whose input comes from another rank starts when its RecvActivation has ended, a
//   Backward or BackwardInput when its RecvGradient has. Nothing waits for a send, except whoever
//   wants to write the sent buffer again, and the end of the step.
//
// So: on MPI, Isend or Irecv when the op is reached and Wait before the compute op that needs the
// data; on CUDA, a stream per channel that waits for an event of the compute stream, and the
// compute stream for one of the channel's. NCCL runs the operations of one communicator in order,
// so there a channel needs a communicator of its own.
//
// Why this cannot deadlock for a reason of its own: nothing but data is ever waited for, and
// channels match in order, so a run only stops if the compute ops themselves wait for each other in
// a circle. The plain alternative, all ops of a rank in one queue, each waiting for its end, has
// such circles: with rendezvous sends, two neighbours in the steady state of 1F1B send to each
// other and neither receives. It can be asked for below, to show that.
#pragma once

namespace sluice {

enum class SendSemantics {
  kBuffered,    // a transfer starts once its send is posted
  kRendezvous,  // a transfer starts once its send and its receive are posted; what NCCL does
};

enum class QueueSemantics {
  kPerChannel,  // as described above
  kSingle,  // sends and receives queue with compute: each op starts when the one before has ended,
            // and a buffered send ends at once
};

struct ExecutionModel {
  SendSemantics sends = SendSemantics::kRendezvous;
  QueueSemantics queues = QueueSemantics::kPerChannel;
};

}  // namespace sluice
