// Stands in for NCCL and the CUDA runtime in tests on machines without a GPU: what
// parallel/comm/nccl calls of nccl.h and cuda_runtime_api.h, for ranks that are threads of one
// process.  Linked in place of both.
//
// Memory of a device is memory of the host; to free some waits for all streams of the device.  A
// stream is a queue whose thread takes one operation after the other; events, captures and graphs
// do what the CUDA Programming Guide says of them, and what it forbids fails with the code that
// CUDA gives: to ask for a captured event, to synchronise with a stream that is being captured, to
// end a capture that a stream has not left, to take the time of an event that has none.
//
// NCCL is the documented one, with non-blocking communicators: a call that returns ncclInProgress
// has done its work only after ncclCommGetAsyncError said so.  The first message from one rank to
// another, and the first collective of a communicator, are such calls: they connect their ends, and
// are in progress on the host, with nothing enqueued, until every end has issued its own.
// Until then the communicator refuses other calls.  To finalize one waits for its operations and
// for the end of every graph that contains some.
//
// Operations of one communicator run in order; those of a group run together; sends and receives
// between two ranks match in order; a collective holds its stream until all ranks have come; sums
// are made in an order that is not the ranks'; a maximum drops NaN.  Nothing is compared between
// ranks: sizes that differ give wrong data, as there.
//
// After the abort or the death of a member, a communicator of the others has ncclRemoteError.
//
// What the tests break is set here.
#pragma once

#include <nccl.h>

namespace sluice::fake {

// Puts everything below back to working order, with `num_devices` devices.  Those from that number
// on are other names of device 0: they have its UUID.
void Reset(int num_devices);

// What ncclCommGetAsyncError says on communicators of this device from now on.
void SetAsyncError(int device, ncclResult_t error);

// The connections of communicators of this device are closed, as when its process has died.
void CloseConnections(int device);

// ncclCommAbort never returns on this device.
void HangAbort(int device);

// ncclCommInitRankConfig never ends on this device.
void HangInit(int device);

// Operations that connect never end on this device.
void HangConnect(int device);

// On all devices since Reset: calls of ncclCommAbort and ncclCommInitRankConfig, and messages that
// have been received.
int NumAborts();
int NumInits();
int NumReceived();

}  // namespace sluice::fake
