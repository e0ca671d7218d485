// Reads schedules from the CSV files of PyTorch's torch.distributed.pipelining, in which its
// schedule classes dump their actions and from which PyTorch loads schedules.
//
//   0F0,0F1,,0B0,,0B1
//   ,1F0,1B0,1F1,1B1
//
// A line is a rank, and a cell is stage, letter and micro-batch. The letters:
//
//   F  forward                  I  gradient of the input only
//   B  the whole backward       W  gradients of the weights
//
// An empty cell is an idle step; it says nothing here, because ranks run as soon as their input is
// there. (0F3;3B1)OVERLAP_F_B is a pair whose forward and backward PyTorch may interleave; here it
// is the forward followed by the backward. A forward never waits for a backward, so this order
// cannot deadlock where the interleaved pair would not.
//
// The file has compute ops only: AddCommunication adds the rest. Files with communication, which
// PyTorch can also write, are refused.
#pragma once

#include <string_view>

#include "parallel/schedule/schedule.h"

namespace sluice {

// Returns the compute ops of all ranks. Stages and micro-batches are counted from the ops, a stage
// is on the rank of its first op, and a file without backward ops is a forward pass. Throws Error
// with rank, position, line, column, what was found there and what is allowed, and if a stage has
// no op or there are more than kMaxNumUnits units. FindComputeError checks whether the schedule can
// run.
Schedule ParsePyTorchCsv(std::string_view text);

}  // namespace sluice
