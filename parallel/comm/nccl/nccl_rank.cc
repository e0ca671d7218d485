#include "parallel/comm/nccl/nccl_rank.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>

#include "core/base/error.h"
#include "parallel/comm/comm_error.h"

namespace sluice::internal {
namespace {

// Longer than an abort takes, shorter than a person waits.
constexpr std::chrono::seconds kAbortLimit(3);
// The GPU runs the processes that share it one at a time.
constexpr std::chrono::seconds kAbortLimitOnSharedGpu(12);
// A rank with a fault says it after its abort, and its peers see closed connections before.  So
// they wait longer than an abort may take.  A system error is more often this rank's own, so it is
// told before its peers tell of this rank's connections.
constexpr std::chrono::seconds kCauseOfSystemError(1);
constexpr std::chrono::seconds kCauseOfRemoteError(2);
constexpr int64_t kPollsPerCheck = 64;
// Above this many, tracked calls that have ended are forgotten before a Drain.
constexpr size_t kMaxTracked = 4096;

// NCCL's kernels occupy multiprocessors while they wait.  With at most this many blocks for each of
// a pipeline rank's four connections, compute always has room to make what they wait for.
constexpr int kMaxBlocksPerConnection = 16;

std::chrono::seconds AbortLimit(GpuUse use) {
  return use == GpuUse::kShared ? kAbortLimitOnSharedGpu : kAbortLimit;
}

// What ranks tell each other of their GPUs.
struct Identity {
  std::array<char, 64> host{};
  std::array<char, 16> uuid{};
  int32_t nccl_version = 0;
};

std::string HostOf(const Identity& identity) { return identity.host.data(); }

// As nvidia-smi writes it: GPU-00112233-4455-....
std::string UuidText(const Identity& identity) {
  std::string text = "GPU-";
  for (size_t i = 0; i < identity.uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", static_cast<unsigned char>(identity.uuid[i]));
  }
  return text;
}

// Every rank has the version of rank 0.
void CheckVersions(const std::vector<Identity>& all) {
  for (size_t b = 0; b < all.size(); ++b) {
    if (all[b].nccl_version != all[0].nccl_version) {
      throw CommError(
          fmt::format("rank {} has another configuration: NCCL is '{}', but '{}' on rank 0", b,
                      NcclVersionText(all[b].nccl_version), NcclVersionText(all[0].nccl_version)),
          kFaultExitCode);
    }
  }
}

void CheckGpuUse(const std::vector<Identity>& all, GpuUse use) {
  for (size_t b = 0; b < all.size(); ++b) {
    for (size_t a = 0; a < b; ++a) {
      if (all[a].uuid != all[b].uuid) continue;
      if (use == GpuUse::kShared) return;
      throw Error(
          fmt::format("ranks {} and {} are on one GPU, {} of host {}: NCCL needs a GPU for each "
                      "rank; start no more ranks on a host than it has GPUs, or prove the job on "
                      "fewer GPUs with --share_gpu",
                      a, b, UuidText(all[a]), HostOf(all[a])));
    }
  }
  if (use == GpuUse::kShared) {
    throw Error(
        fmt::format("--share_gpu is for more ranks than GPUs, but each of the {} ranks has "
                    "a GPU of its own",
                    all.size()));
  }
}

}  // namespace

NcclRank::NcclRank(Communicator& host, cudaStream_t compute, GpuUse use)
    : host_(host), compute_(compute), global_rank_(host.GlobalRank(host.rank())), use_(use) {
  Identity mine;
  gethostname(mine.host.data(), mine.host.size() - 1);
  int device = 0;
  cudaDeviceProp properties;
  Check(cudaGetDevice(&device), "cudaGetDevice");
  Check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  std::memcpy(mine.uuid.data(), properties.uuid.bytes, mine.uuid.size());
  Check(ncclGetVersion(&mine.nccl_version), "ncclGetVersion");
  std::vector<Identity> all(static_cast<size_t>(host.world_size()));
  host.AllGather({&mine, sizeof(Identity), ControlType::kByte}, all.data());
  CheckVersions(all);
  CheckGpuUse(all, use);
  Check(cudaMalloc(&connecting_byte_, 1), "cudaMalloc");
}

NcclRank::~NcclRank() {
  // After an abort the GPU's state is the process's to clean up.
  if (is_aborted_) return;
  for (const Tracked& tracked : tracked_) {
    cudaEventDestroy(tracked.ready);
    cudaEventDestroy(tracked.done);
  }
  for (cudaEvent_t event : free_events_) cudaEventDestroy(event);
  cudaFree(connecting_byte_);
}

void NcclRank::Check(cudaError_t code, const char* call) {
  if (code == cudaSuccess) [[likely]]
    return;
  throw CommError(fmt::format("rank {}: {} failed {} with {} ({}): {}", global_rank_, call,
                              status().DescribePosition(), cudaGetErrorName(code),
                              static_cast<int>(code), cudaGetErrorString(code)),
                  kFaultExitCode);
}

void NcclRank::Check(ncclResult_t code, const char* call) {
  if (code == ncclSuccess) [[likely]]
    return;
  const std::string message =
      fmt::format("rank {}: {} failed {} with {} ({}); NCCL's last error: {}", global_rank_, call,
                  status().DescribePosition(), ncclGetErrorString(code), static_cast<int>(code),
                  ncclGetLastError(nullptr));
  if (code == ncclRemoteError || code == ncclSystemError) throw ConnectionError(message, code);
  throw CommError(message, kFaultExitCode);
}

void NcclRank::AwaitCause(const ConnectionError& error) {
  if (is_aborted_) return;
  const auto extra = error.code() == ncclRemoteError ? kCauseOfRemoteError : kCauseOfSystemError;
  const auto end = std::chrono::steady_clock::now() + AbortLimit(use_) + extra;
  try {
    host_.WaitUntil({CommOp::kDrain}, [&] { return std::chrono::steady_clock::now() > end; });
  } catch (const CommError& fault) {
    // A deadline says less than NCCL's error.
    if (fault.exit_code() != kDeadlineExitCode) throw;
  }
}

void NcclRank::Complete(ncclResult_t code, std::span<const ncclComm_t> comms, const char* call,
                        int global_peer) {
  if (code != ncclInProgress) return Check(code, call);
  const auto is_made = [&] {
    for (ncclComm_t comm : comms) {
      ncclResult_t state = ncclSuccess;
      Check(ncclCommGetAsyncError(comm, &state), "ncclCommGetAsyncError");
      if (state == ncclInProgress) return false;
      Check(state, call);
    }
    return true;
  };
  if (!is_made()) host_.WaitUntil({CommOp::kConnect, global_peer}, is_made);
}

void NcclRank::ConnectEnds(ncclComm_t comm, cudaStream_t stream, Direction direction,
                           int global_peer) {
  const bool sends = direction == Direction::kSend;
  const ncclResult_t code = sends ? ncclSend(connecting_byte_, 1, ncclUint8, 1, comm, stream)
                                  : ncclRecv(connecting_byte_, 1, ncclUint8, 0, comm, stream);
  Complete(code, {&comm, 1}, sends ? "ncclSend" : "ncclRecv", global_peer);
  host_.WaitUntil({CommOp::kConnect, global_peer}, [&] {
    CheckAsyncErrors();
    const cudaError_t state = cudaStreamQuery(stream);
    if (state == cudaErrorNotReady) return false;
    Check(state, "cudaStreamQuery");
    return true;
  });
}

ncclComm_t NcclRank::MakeComm(const NcclMembership& membership) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  if (membership.global_peer >= 0) config.maxCTAs = kMaxBlocksPerConnection;
  ncclComm_t comm = nullptr;
  const ncclResult_t code =
      ncclCommInitRankConfig(&comm, membership.size, membership.id, membership.rank, &config);
  if (comm != nullptr) comms_.push_back(comm);
  if (code != ncclInProgress) {
    Check(code, "ncclCommInitRankConfig");
    return comm;
  }
  host_.WaitUntil({CommOp::kConnect, membership.global_peer}, [&] {
    ncclResult_t state = ncclSuccess;
    Check(ncclCommGetAsyncError(comm, &state), "ncclCommGetAsyncError");
    if (state == ncclInProgress) return false;
    Check(state, "ncclCommInitRankConfig");
    return true;
  });
  return comm;
}

void NcclRank::FinishComms(const std::vector<ncclComm_t>& comms) {
  if (is_aborted_) return;
  for (ncclComm_t comm : comms) {
    const ncclResult_t code = ncclCommFinalize(comm);
    if (code != ncclInProgress) Check(code, "ncclCommFinalize");
  }
  Complete(ncclInProgress, comms, "ncclCommFinalize");
  for (ncclComm_t comm : comms) {
    std::erase(comms_, comm);
    Check(ncclCommDestroy(comm), "ncclCommDestroy");
  }
}

cudaStream_t NcclRank::MakeStream() {
  int least = 0;
  int greatest = 0;
  Check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "cudaDeviceGetStreamPriorityRange");
  cudaStream_t stream = nullptr;
  Check(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, greatest),
        "cudaStreamCreateWithPriority");
  return stream;
}

void NcclRank::DestroyStream(cudaStream_t stream) {
  if (!is_aborted_) Check(cudaStreamDestroy(stream), "cudaStreamDestroy");
}

bool NcclRank::IsCapturing() {
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  Check(cudaStreamIsCapturing(compute_, &capture), "cudaStreamIsCapturing");
  return capture != cudaStreamCaptureStatusNone;
}

cudaEvent_t NcclRank::TakeEvent() {
  cudaEvent_t event = nullptr;
  if (!free_events_.empty()) {
    event = free_events_.back();
    free_events_.pop_back();
  } else {
    Check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  }
  return event;
}

void NcclRank::GiveEvent(cudaEvent_t event) { free_events_.push_back(event); }

bool NcclRank::IsDone(cudaEvent_t event) {
  const cudaError_t code = cudaEventQuery(event);
  if (code == cudaErrorNotReady) return false;
  Check(code, "cudaEventQuery");
  return true;
}

void NcclRank::Track(const CommCall& call, cudaEvent_t ready, cudaEvent_t done) {
  if (tracked_.size() >= kMaxTracked) {
    std::erase_if(tracked_, [&](const Tracked& old) {
      if (!IsDone(old.done)) return false;
      GiveEvent(old.ready);
      GiveEvent(old.done);
      return true;
    });
  }
  tracked_.push_back({call, ready, done});
}

void NcclRank::ForgetTracked() {
  for (const Tracked& tracked : tracked_) {
    GiveEvent(tracked.ready);
    GiveEvent(tracked.done);
  }
  tracked_.clear();
}

CommCall NcclRank::FindUnfinished() {
  bool all_done = true;
  for (const Tracked& tracked : tracked_) {
    if (IsDone(tracked.done)) continue;
    if (IsDone(tracked.ready)) return tracked.call;
    all_done = false;
  }
  // In a graph nothing can be told apart.
  const bool is_unknown = tracked_.empty();
  return {CommOp::kDrain, is_unknown && all_done ? -1 : global_rank_};
}

void NcclRank::CheckAsyncErrors() {
  for (ncclComm_t comm : comms_) {
    ncclResult_t state = ncclSuccess;
    Check(ncclCommGetAsyncError(comm, &state), "ncclCommGetAsyncError");
    if (state != ncclInProgress) Check(state, "an operation of NCCL");
  }
}

bool NcclRank::PollDrain() {
  const cudaError_t code = cudaStreamQuery(compute_);
  if (code != cudaErrorNotReady) {
    Check(code, "cudaStreamQuery");
    return true;
  }
  if (++num_polls_ % kPollsPerCheck == 0) {
    CheckAsyncErrors();
    status().RefineWait(FindUnfinished());
  }
  return false;
}

void NcclRank::Drain() {
  host_.WaitUntil({CommOp::kDrain}, [this] { return PollDrain(); });
  CheckAsyncErrors();
  ForgetTracked();
}

void NcclRank::Abort(std::exception_ptr fault) {
  if (is_aborted_) return;
  is_aborted_ = true;
  struct Pending {
    std::mutex mutex;
    std::condition_variable ended;
    size_t count;
  };
  // Outlives this, as the threads may.
  const auto pending = std::make_shared<Pending>();
  pending->count = comms_.size();
  for (ncclComm_t comm : comms_) {
    std::thread([pending, comm] {
      ncclCommAbort(comm);
      const std::lock_guard lock(pending->mutex);
      --pending->count;
      pending->ended.notify_one();
    }).detach();
  }
  std::unique_lock lock(pending->mutex);
  if (!pending->ended.wait_for(lock, AbortLimit(use_), [&] { return pending->count == 0; })) {
    host_.ReportFault(std::move(fault));
  }
}

}  // namespace sluice::internal
