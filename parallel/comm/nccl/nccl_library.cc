// NCCL's functions, as its header declares them, of a library that is opened when the first of them
// is called: it takes 200 MB of address space, which a run without GPUs may not have.
#include <nccl.h>

#include <string>

#include "core/base/shared_library.h"

namespace {

sluice::SharedLibrary& TheLibrary() {
  static sluice::SharedLibrary library(
      {.file = "libnccl.so." + std::to_string(NCCL_MAJOR), .user = "--comm=nccl"});
  return library;
}

}  // namespace

#define FUNCTION(name) SLUICE_FUNCTION_OF(TheLibrary(), name)

ncclResult_t ncclGetVersion(int* version) { return FUNCTION(ncclGetVersion)(version); }

const char* ncclGetErrorString(ncclResult_t code) { return FUNCTION(ncclGetErrorString)(code); }

const char* ncclGetLastError(ncclComm_t comm) { return FUNCTION(ncclGetLastError)(comm); }

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) { return FUNCTION(ncclGetUniqueId)(id); }

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int num_ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  return FUNCTION(ncclCommInitRankConfig)(comm, num_ranks, id, rank, config);
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) { return FUNCTION(ncclCommFinalize)(comm); }

ncclResult_t ncclCommDestroy(ncclComm_t comm) { return FUNCTION(ncclCommDestroy)(comm); }

ncclResult_t ncclCommAbort(ncclComm_t comm) { return FUNCTION(ncclCommAbort)(comm); }

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  return FUNCTION(ncclCommGetAsyncError)(comm, state);
}

ncclResult_t ncclGroupStart() { return FUNCTION(ncclGroupStart)(); }

ncclResult_t ncclGroupEnd() { return FUNCTION(ncclGroupEnd)(); }

ncclResult_t ncclSend(const void* data, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  return FUNCTION(ncclSend)(data, count, type, peer, comm, stream);
}

ncclResult_t ncclRecv(void* data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return FUNCTION(ncclRecv)(data, count, type, peer, comm, stream);
}

ncclResult_t ncclAllReduce(const void* input, void* output, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return FUNCTION(ncclAllReduce)(input, output, count, type, op, comm, stream);
}

ncclResult_t ncclAllGather(const void* input, void* output, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  return FUNCTION(ncclAllGather)(input, output, count, type, comm, stream);
}

ncclResult_t ncclReduceScatter(const void* input, void* output, size_t count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return FUNCTION(ncclReduceScatter)(input, output, count, type, op, comm, stream);
}

ncclResult_t ncclBroadcast(const void* input, void* output, size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t stream) {
  return FUNCTION(ncclBroadcast)(input, output, count, type, root, comm, stream);
}
