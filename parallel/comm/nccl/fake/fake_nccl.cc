#include <nccl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "parallel/comm/nccl/fake/fake_gpu.h"
#include "parallel/comm/nccl/fake/fake_stream.h"

namespace {

struct Faults {
  std::mutex mutex;
  std::map<int, ncclResult_t> async_errors;
  std::set<int> hanging_aborts;
  std::set<int> hanging_inits;
  std::set<int> hanging_connects;
  std::set<int> closed;
  std::atomic<int> num_aborts{0};
  std::atomic<int> num_inits{0};
  std::atomic<int> num_received{0};
};

Faults& TheFaults() {
  static Faults* faults = new Faults;
  return *faults;
}

size_t SizeOf(ncclDataType_t type) {
  switch (type) {
    case ncclFloat64:
    case ncclInt64:
      return 8;
    case ncclFloat32:
      return 4;
    case ncclFloat16:
    case ncclBfloat16:
      return 2;
    default:
      return 1;
  }
}

// One side of a message, until it has met the other.
struct Half {
  std::byte* data;
  size_t size_bytes;
  bool is_done = false;
};
using Halves = std::deque<std::shared_ptr<Half>>;

// A collective under way: what each rank has brought.
struct Meeting {
  std::vector<std::vector<std::byte>> inputs;
  int num_come = 0;
  int num_gone = 0;
};

// What the members of a communicator share.
struct Clique {
  explicit Clique(int count) : size(count), sends(count * count), receives(count * count) {}

  const int size;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<int> devices;
  int num_finalized = 0;
  int num_aborted = 0;
  // By sender and receiver.
  std::vector<Halves> sends;
  std::vector<Halves> receives;
  std::map<int64_t, Meeting> meetings;
  // Which ranks have issued an operation that connects: of a message its way, by sender and
  // receiver; of a collective kCollective.
  std::map<int, std::set<int>> connecting;
};

constexpr int kCollective = -1;

std::mutex cliques_mutex;
std::map<uint64_t, std::shared_ptr<Clique>> cliques;
uint64_t num_ids = 0;

// What kernels share with a communicator, and outlive it with.
struct CommState {
  std::shared_ptr<Clique> clique;
  int rank = 0;
  int device = 0;
  std::atomic<bool> is_aborted{false};
  std::mutex kernel_mutex;  // one kernel of a communicator at a time
  int64_t num_collectives = 0;
};

}  // namespace

// An operation that its host has issued, and that waits for connections.
struct NotLaunched {
  cudaStream_t stream;
  sluice::fake::Work work;
};

struct ncclComm {
  std::shared_ptr<CommState> state = std::make_shared<CommState>();
  bool is_finalizing = false;
  std::set<int> connected;   // ways, or kCollective
  std::set<int> connecting;  // likewise, of operations not launched
  std::vector<NotLaunched> not_launched;
};

namespace {

// Waits on the GPU: until done(), or an abort.
template <typename Done>
void WaitOnDevice(CommState& comm, std::unique_lock<std::mutex>& lock, const Done& done) {
  comm.clique->changed.wait(lock, [&] { return comm.is_aborted || done(); });
}

struct P2pOp {
  bool sends;
  std::byte* data;
  size_t size_bytes;
  int peer;
};

void Match(Halves& sends, Halves& receives) {
  while (!sends.empty() && !receives.empty()) {
    const std::shared_ptr<Half> send = sends.front();
    const std::shared_ptr<Half> receive = receives.front();
    sends.pop_front();
    receives.pop_front();
    std::memcpy(receive->data, send->data, std::min(send->size_bytes, receive->size_bytes));
    send->is_done = receive->is_done = true;
    ++TheFaults().num_received;
  }
}

int WayOf(const CommState& comm, const P2pOp& op) {
  const int sender = op.sends ? comm.rank : op.peer;
  const int receiver = op.sends ? op.peer : comm.rank;
  return sender * comm.clique->size + receiver;
}

void RunP2p(CommState& comm, const std::vector<P2pOp>& ops) {
  const std::lock_guard in_order(comm.kernel_mutex);
  Clique& clique = *comm.clique;
  std::unique_lock lock(clique.mutex);
  if (comm.is_aborted) return;
  std::vector<std::shared_ptr<Half>> halves;
  for (const P2pOp& op : ops) {
    const auto way = static_cast<size_t>(WayOf(comm, op));
    halves.push_back(std::make_shared<Half>(Half{op.data, op.size_bytes}));
    (op.sends ? clique.sends : clique.receives)[way].push_back(halves.back());
    Match(clique.sends[way], clique.receives[way]);
  }
  clique.changed.notify_all();
  WaitOnDevice(comm, lock, [&] {
    return std::all_of(halves.begin(), halves.end(),
                       [](const auto& half) { return half->is_done; });
  });
  // After an abort nobody may touch this rank's memory any more.
  const auto is_own = [&](const std::shared_ptr<Half>& half) {
    return std::find(halves.begin(), halves.end(), half) != halves.end();
  };
  for (std::vector<Halves>* ways : {&clique.sends, &clique.receives}) {
    for (Halves& way : *ways) std::erase_if(way, is_own);
  }
}

template <typename T>
void Reduce(const std::vector<std::vector<std::byte>>& inputs, size_t first_byte, size_t count,
            ncclRedOp_t op, void* out) {
  for (size_t i = 0; i < count; ++i) {
    T result{};
    // The last rank first: not the order of the CPU's communicators.
    for (size_t rank = inputs.size(); rank-- > 0;) {
      T value{};
      const size_t place = first_byte + i * sizeof(T);
      if (place + sizeof(T) <= inputs[rank].size()) {
        std::memcpy(&value, inputs[rank].data() + place, sizeof(T));
      }
      if (rank + 1 == inputs.size()) {
        result = value;
      } else if (op == ncclSum) {
        result += value;
      } else if constexpr (std::is_floating_point_v<T>) {
        result = std::fmax(result, value);
      } else {
        result = std::max(result, value);
      }
    }
    std::memcpy(static_cast<std::byte*>(out) + i * sizeof(T), &result, sizeof(T));
  }
}

void ReduceTyped(const std::vector<std::vector<std::byte>>& inputs, size_t first_byte, size_t count,
                 ncclDataType_t type, ncclRedOp_t op, void* out) {
  if (type == ncclFloat64) return Reduce<double>(inputs, first_byte, count, op, out);
  if (type == ncclFloat32) return Reduce<float>(inputs, first_byte, count, op, out);
  if (type == ncclInt64) return Reduce<int64_t>(inputs, first_byte, count, op, out);
  std::abort();  // no test reduces these
}

using Finish = std::function<void(const std::vector<std::vector<std::byte>>& inputs)>;

// Brings `input`, waits for all, and lets `finish` make the output.
void RunCollective(CommState& comm, const void* input, size_t size_bytes, const Finish& finish) {
  const std::lock_guard in_order(comm.kernel_mutex);
  Clique& clique = *comm.clique;
  std::unique_lock lock(clique.mutex);
  if (comm.is_aborted) return;
  const int64_t number = comm.num_collectives++;
  Meeting& meeting = clique.meetings[number];
  meeting.inputs.resize(static_cast<size_t>(clique.size));
  const auto* bytes = static_cast<const std::byte*>(input);
  meeting.inputs[static_cast<size_t>(comm.rank)].assign(bytes, bytes + size_bytes);
  ++meeting.num_come;
  clique.changed.notify_all();
  WaitOnDevice(comm, lock, [&] { return meeting.num_come == clique.size; });
  if (meeting.num_come < clique.size) return;
  finish(meeting.inputs);
  if (++meeting.num_gone == clique.size) clique.meetings.erase(number);
}

struct GroupedOp {
  ncclComm_t comm;
  cudaStream_t stream;
  P2pOp op;
};
thread_local int group_depth = 0;
thread_local std::vector<GroupedOp> grouped;

// Launches at once what is connected.  Else the operation is in progress, until its other ends have
// issued theirs and the caller has asked for the state.
ncclResult_t Launch(ncclComm_t comm, cudaStream_t stream, const std::set<int>& ways,
                    sluice::fake::Work work) {
  const bool is_connected =
      std::all_of(ways.begin(), ways.end(), [&](int way) { return comm->connected.contains(way); });
  if (is_connected && comm->not_launched.empty()) {
    sluice::fake::Enqueue(stream, std::move(work));
    return ncclSuccess;
  }
  comm->not_launched.push_back({stream, std::move(work)});
  const std::lock_guard faults_lock(TheFaults().mutex);
  if (TheFaults().hanging_connects.contains(comm->state->device)) return ncclInProgress;
  const std::lock_guard lock(comm->state->clique->mutex);
  for (const int way : ways) {
    comm->connecting.insert(way);
    comm->state->clique->connecting[way].insert(comm->state->rank);
  }
  return ncclInProgress;
}

// Whether all ends of what `comm` connects have issued their operations; the clique is locked.
bool IsConnected(const ncclComm& comm) {
  const Clique& clique = *comm.state->clique;
  return std::all_of(comm.connecting.begin(), comm.connecting.end(), [&](int way) {
    const auto found = clique.connecting.find(way);
    const size_t needed = way == kCollective ? static_cast<size_t>(clique.size) : 2;
    return found != clique.connecting.end() && found->second.size() == needed;
  });
}

void LaunchConnected(ncclComm_t comm) {
  comm->connected.insert(comm->connecting.begin(), comm->connecting.end());
  comm->connecting.clear();
  for (NotLaunched& operation : comm->not_launched) {
    sluice::fake::Enqueue(operation.stream, std::move(operation.work));
  }
  comm->not_launched.clear();
}

ncclResult_t LaunchGroup() {
  ncclResult_t result = ncclSuccess;
  while (!grouped.empty()) {
    const ncclComm_t comm = grouped.front().comm;
    const cudaStream_t stream = grouped.front().stream;
    std::vector<P2pOp> ops;
    std::set<int> ways;
    for (const GroupedOp& op : grouped) {
      if (op.comm != comm || op.stream != stream) continue;
      ops.push_back(op.op);
      ways.insert(WayOf(*comm->state, op.op));
    }
    std::erase_if(grouped,
                  [&](const GroupedOp& op) { return op.comm == comm && op.stream == stream; });
    const ncclResult_t launched =
        Launch(comm, stream, ways, [state = comm->state, ops] { RunP2p(*state, ops); });
    if (launched != ncclSuccess) result = launched;
  }
  return result;
}

// A communicator takes no call while an earlier one is in progress, or after an error.
ncclResult_t EnsureReady(ncclComm_t comm) {
  ncclResult_t state = ncclSuccess;
  ncclCommGetAsyncError(comm, &state);
  return state == ncclInProgress ? ncclInvalidArgument : state;
}

ncclResult_t AddP2p(const GroupedOp& op) {
  if (const ncclResult_t ready = EnsureReady(op.comm); ready != ncclSuccess) return ready;
  grouped.push_back(op);
  return group_depth > 0 ? ncclSuccess : LaunchGroup();
}

ncclResult_t LaunchCollective(ncclComm_t comm, cudaStream_t stream, const void* input,
                              size_t size_bytes, Finish finish) {
  if (const ncclResult_t ready = EnsureReady(comm); ready != ncclSuccess) return ready;
  return Launch(comm, stream, {kCollective}, [state = comm->state, input, size_bytes, finish] {
    RunCollective(*state, input, size_bytes, finish);
  });
}

// Whether a member has been aborted or has died; faults and the clique are locked.
bool HasLostMember(const Clique& clique) {
  return clique.num_aborted > 0 ||
         std::any_of(clique.devices.begin(), clique.devices.end(),
                     [](int device) { return TheFaults().closed.contains(device); });
}

bool HasDuplicateDevice(const Clique& clique) {
  const std::set<int> unique(clique.devices.begin(), clique.devices.end());
  return unique.size() < clique.devices.size();
}

}  // namespace

namespace sluice::fake {

void Reset(int num_devices) {
  Faults& faults = TheFaults();
  const std::lock_guard lock(faults.mutex);
  faults.async_errors.clear();
  faults.hanging_aborts.clear();
  faults.hanging_inits.clear();
  faults.hanging_connects.clear();
  faults.closed.clear();
  faults.num_aborts = 0;
  faults.num_inits = 0;
  faults.num_received = 0;
  SetNumDistinctDevices(num_devices);
}

void SetAsyncError(int device, ncclResult_t error) {
  const std::lock_guard lock(TheFaults().mutex);
  TheFaults().async_errors[device] = error;
}

void CloseConnections(int device) {
  const std::lock_guard lock(TheFaults().mutex);
  TheFaults().closed.insert(device);
}

void HangAbort(int device) {
  const std::lock_guard lock(TheFaults().mutex);
  TheFaults().hanging_aborts.insert(device);
}

void HangInit(int device) {
  const std::lock_guard lock(TheFaults().mutex);
  TheFaults().hanging_inits.insert(device);
}

void HangConnect(int device) {
  const std::lock_guard lock(TheFaults().mutex);
  TheFaults().hanging_connects.insert(device);
}

int NumAborts() { return TheFaults().num_aborts; }
int NumInits() { return TheFaults().num_inits; }
int NumReceived() { return TheFaults().num_received; }

}  // namespace sluice::fake

extern "C" {

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInvalidUsage:
      return "invalid usage";
    default:
      return "an error of the fake";
  }
}

const char* ncclGetLastError(ncclComm_t) { return "none"; }

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const std::lock_guard lock(cliques_mutex);
  std::memset(id, 0, sizeof(*id));
  ++num_ids;
  std::memcpy(id, &num_ids, sizeof(num_ids));
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  if (config->blocking != 0) return ncclInvalidUsage;  // the fake has the other kind only
  ++TheFaults().num_inits;
  uint64_t number = 0;
  std::memcpy(&number, &id, sizeof(number));
  auto made = std::make_unique<ncclComm>();
  made->state->rank = rank;
  made->state->device = sluice::fake::CurrentDevice();
  {
    const std::lock_guard lock(cliques_mutex);
    std::shared_ptr<Clique>& clique = cliques[number];
    if (clique == nullptr) clique = std::make_shared<Clique>(size);
    made->state->clique = clique;
  }
  const std::lock_guard faults_lock(TheFaults().mutex);
  if (TheFaults().hanging_inits.count(made->state->device) == 0) {
    const std::lock_guard lock(made->state->clique->mutex);
    made->state->clique->devices.push_back(made->state->device);
  }
  *comm = made.release();
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  Clique& clique = *comm->state->clique;
  const std::lock_guard faults_lock(TheFaults().mutex);
  const std::lock_guard lock(clique.mutex);
  const auto found = TheFaults().async_errors.find(comm->state->device);
  if (found != TheFaults().async_errors.end()) {
    *error = found->second;
    return ncclSuccess;
  }
  if (HasLostMember(clique)) {
    *error = ncclRemoteError;
    return ncclSuccess;
  }
  const bool is_ready = static_cast<int>(clique.devices.size()) == clique.size;
  // Operations in streams and in graphs share the state.
  const bool is_final =
      !comm->is_finalizing || (clique.num_finalized == clique.size && comm->state.use_count() == 1);
  const bool is_launched =
      comm->not_launched.empty() || (!comm->connecting.empty() && IsConnected(*comm));
  *error = !is_ready || !is_final || !is_launched ? ncclInProgress
           : HasDuplicateDevice(clique)           ? ncclInvalidUsage
                                                  : ncclSuccess;
  if (is_launched) LaunchConnected(comm);
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  if (const ncclResult_t ready = EnsureReady(comm); ready != ncclSuccess) return ready;
  comm->is_finalizing = true;
  const std::lock_guard lock(comm->state->clique->mutex);
  ++comm->state->clique->num_finalized;
  return ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  ++TheFaults().num_aborts;
  bool hangs = false;
  {
    const std::lock_guard lock(TheFaults().mutex);
    hangs = TheFaults().hanging_aborts.count(comm->state->device) > 0;
  }
  while (hangs) std::this_thread::sleep_for(std::chrono::hours(1));
  {
    const std::lock_guard lock(comm->state->clique->mutex);
    comm->state->is_aborted = true;
    ++comm->state->clique->num_aborted;
    comm->state->clique->changed.notify_all();
  }
  // Its kernels have left the GPU.
  const std::lock_guard lock(comm->state->kernel_mutex);
  return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
  ++group_depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() { return --group_depth > 0 ? ncclSuccess : LaunchGroup(); }

ncclResult_t ncclSend(const void* data, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  auto* bytes = static_cast<std::byte*>(const_cast<void*>(data));
  return AddP2p({comm, stream, {true, bytes, count * SizeOf(type), peer}});
}

ncclResult_t ncclRecv(void* data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return AddP2p({comm, stream, {false, static_cast<std::byte*>(data), count * SizeOf(type), peer}});
}

ncclResult_t ncclAllReduce(const void* input, void* output, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return LaunchCollective(comm, stream, input, count * SizeOf(type), [=](const auto& inputs) {
    ReduceTyped(inputs, 0, count, type, op, output);
  });
}

ncclResult_t ncclReduceScatter(const void* input, void* output, size_t count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  const size_t size_bytes = count * SizeOf(type);
  const size_t rank = static_cast<size_t>(comm->state->rank);
  const size_t size = static_cast<size_t>(comm->state->clique->size);
  return LaunchCollective(comm, stream, input, size * size_bytes, [=](const auto& inputs) {
    ReduceTyped(inputs, rank * size_bytes, count, type, op, output);
  });
}

ncclResult_t ncclAllGather(const void* input, void* output, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  const size_t size_bytes = count * SizeOf(type);
  return LaunchCollective(comm, stream, input, size_bytes, [=](const auto& inputs) {
    auto* place = static_cast<std::byte*>(output);
    for (const std::vector<std::byte>& part : inputs) {
      std::memcpy(place, part.data(), std::min(part.size(), size_bytes));
      place += size_bytes;
    }
  });
}

ncclResult_t ncclBroadcast(const void* input, void* output, size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t stream) {
  const size_t size_bytes = count * SizeOf(type);
  return LaunchCollective(comm, stream, input, size_bytes, [=](const auto& inputs) {
    const std::vector<std::byte>& data = inputs[static_cast<size_t>(root)];
    std::memcpy(output, data.data(), std::min(data.size(), size_bytes));
  });
}

}  // extern "C"
