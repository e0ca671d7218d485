// What one rank shares with all its NCCL communicators: its GPU's compute stream, every ncclComm_t
// that it has, what it has enqueued, and the end of it all.
//
// Errors. A call of CUDA or NCCL that fails throws CommError naming rank, call, code, text and the
// position in the schedule.  Errors that NCCL finds later, on its own threads, are asked for while
// this rank waits.
//
// Lost connections. Where a rank has died, NCCL of its peers finds their connections closed before
// anything has said which rank it was.  So such an error is held back while the host's communicator
// may still name the rank at fault, and is thrown only if nothing does.
//
// Abort. NCCL's kernels wait for their peers on the GPU for ever.  So before a fault is thrown, all
// of this rank's ncclComm_t are aborted, each on a thread of its own: what is destroyed on the way
// (memory, streams) waits for the GPU.  If they have not ended after a limit, the fault is given to
// the host's communicator, which ends the process.
#pragma once

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <functional>
#include <string>
#include <vector>

#include "parallel/comm/comm_error.h"
#include "parallel/comm/communicator.h"
#include "parallel/comm/nccl/gpu_sharing.h"

namespace sluice::internal {

// Everyone must be in the same process or know the same id.
struct NcclMembership {
  ncclUniqueId id;
  int rank = 0;
  int size = 1;
  // The rank in the world; -1 if there is none.
  int global_peer = -1;
};

// An error of NCCL whose cause may be another rank: a connection that is closed.
class ConnectionError : public CommError {
 public:
  ConnectionError(const std::string& message, ncclResult_t code)
      : CommError(message, kFaultExitCode), code_(code) {}

  ncclResult_t code() const { return code_; }

 private:
  ncclResult_t code_;
};

class NcclRank {
 public:
  // `host` is the communicator of all ranks.  Both must outlive this.  Checks that GPUs are used as
  // `use` says and that all ranks have the same NCCL: all ranks call it.
  NcclRank(Communicator& host, cudaStream_t compute, GpuUse use);
  ~NcclRank();

  NcclRank(const NcclRank&) = delete;
  NcclRank& operator=(const NcclRank&) = delete;

  cudaStream_t compute() const { return compute_; }
  int global_rank() const { return global_rank_; }
  RankStatus& status() { return host_.status(); }

  // Throws CommError unless the call succeeded.
  void Check(cudaError_t code, const char* call);
  void Check(ncclResult_t code, const char* call);

  // Runs `call`; aborts before whatever it throws goes on.  In place of a ConnectionError the fault
  // of the rank that caused it goes on, where the host learns of one.
  template <typename Call>
  auto Guard(const Call& call);

  // A communicator of NCCL, ready for use: waits for its other members.
  ncclComm_t MakeComm(const NcclMembership& membership);
  // Gives communicators back, when all that uses them is done: waits for their other members.
  void FinishComms(const std::vector<ncclComm_t>& comms);
  // Waits until calls of NCCL that returned `code` have been made, on each of `comms`; with whom is
  // said by `global_peer`, where it is one rank.
  void Complete(ncclResult_t code, std::span<const ncclComm_t> comms, const char* call,
                int global_peer = -1);

  // Connects the two ends of a communicator of two ranks, by a message of one byte in `direction`:
  // NCCL connects them at their first message, and then each end's host waits for the other's call.
  // Returns when the byte has arrived.
  void ConnectEnds(ncclComm_t comm, cudaStream_t stream, Direction direction, int global_peer);

  // A stream for messages, ahead of compute where both could run.
  cudaStream_t MakeStream();
  void DestroyStream(cudaStream_t stream);

  bool IsCapturing();
  cudaEvent_t TakeEvent();
  void GiveEvent(cudaEvent_t event);

  // Remembers what was enqueued outside of a capture, to say at a deadline what did not end: it
  // could start at `ready` and ends at `done`.  Takes the events.
  void Track(const CommCall& call, cudaEvent_t ready, cudaEvent_t done);

  // Waits until the compute stream is done.
  void Drain();

  // As described above; once.
  void Abort(std::exception_ptr fault);

 private:
  struct Tracked {
    CommCall call;
    cudaEvent_t ready;
    cudaEvent_t done;
  };

  bool IsDone(cudaEvent_t event);
  // Returns when the rank that caused `error` had the time to say so, or throws its fault.
  void AwaitCause(const ConnectionError& error);
  // What this rank waits for: the first tracked call that could start and has not ended, or else
  // its own GPU.
  CommCall FindUnfinished();
  // Whether the compute stream is done; looks for errors now and then.
  bool PollDrain();
  void CheckAsyncErrors();
  void ForgetTracked();

  Communicator& host_;
  cudaStream_t compute_;
  int global_rank_;
  GpuUse use_;
  std::vector<ncclComm_t> comms_;
  void* connecting_byte_ = nullptr;  // that ConnectEnds sends and receives
  std::vector<cudaEvent_t> free_events_;
  std::vector<Tracked> tracked_;
  int64_t num_polls_ = 0;
  bool is_aborted_ = false;
};

template <typename Call>
auto NcclRank::Guard(const Call& call) {
  try {
    try {
      return call();
    } catch (const ConnectionError& error) {
      AwaitCause(error);
      throw;
    }
  } catch (...) {
    Abort(std::current_exception());
    throw;
  }
}

}  // namespace sluice::internal
