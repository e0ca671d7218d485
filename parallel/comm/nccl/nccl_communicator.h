// Ranks on GPUs, over NCCL: one GPU a rank, on any number of hosts.
//
//   NcclCommunicator comm(world, stream);        // `world`: the ranks, as threads or processes
//   comm.Connect(peers);
//   const Transfer incoming = comm.Irecv({x, count, DType::kBFloat16}, {.rank = 0});
//   comm.Wait(incoming);                         // what follows on `stream` may read x
//   comm.Drain();                                // the host waits
//
// Streams.  Collectives run on the compute stream.  Messages from one rank to one other have a
// stream and an ncclComm_t of their own at both ends (Connect makes them), since NCCL runs what is
// given to one ncclComm_t in order: so directions and peers do not wait for each other, and
// messages run beside compute.  Events order them after the compute stream at Start, and the
// compute stream after them at Wait.
//
// Graphs.  Nothing synchronises with the host inside, so a step can be captured from the compute
// stream: the message streams join the capture at Start and leave it at Wait.
//
// Agreement.  Called outside of a capture, ranks compare through the host's communicator what they
// call: a message's header goes from its sender to its receiver, which compares in Wait; before a
// collective all meet.  Captured calls are not compared, nor are their replays: what is captured
// has been called before, and the schedule is the same.
//
// Zero-length messages and messages of a rank to itself never reach NCCL.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>

#include "parallel/comm/communicator.h"
#include "parallel/comm/nccl/gpu_sharing.h"

namespace sluice {

// Makes this rank's communicator of all ranks of `host`, on the GPU that is current in this thread,
// for work on `compute`.  All ranks call it.  Both arguments must outlive it, and all of its calls
// come from this thread.
//
// Throws Error when GPUs are not used as `use` says: when two ranks are on one GPU, or share none.
// With kShared, SharingEnvironment (gpu_sharing.h) is in the environment of each rank's process.
std::unique_ptr<Communicator> MakeNcclCommunicator(Communicator& host, cudaStream_t compute,
                                                   GpuUse use = GpuUse::kExclusive);

}  // namespace sluice
