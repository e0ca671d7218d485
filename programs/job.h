// A job and where it runs: what a program makes of its flags, and RunRanks runs.
#pragma once

#include <optional>
#include <string>

#include "core/backend/backend.h"
#include "parallel/comm/nccl/gpu_sharing.h"
#include "parallel/exec/job_plan.h"
#include "programs/comm_kind.h"

namespace sluice {

// Everything that a run is given. PlanJob(config) checks it.
struct Job {
  // As it was given: also `megatron`, which is not a schedule, and `file` for a schedule from a
  // file.
  std::string scheme;
  // Tells results with schedules from files apart: "mine@0123456789abcdef", the file's name and the
  // hash of its schedule. Empty with a scheme.
  std::string schedule_name = "";
  JobConfig config;
  CommKind comm = CommKind::kThread;
  GpuUse gpu_use = GpuUse::kExclusive;
  DeviceKind device = DeviceKind::kCpu;
  int threads = 1;  // of each rank, on the cpu
  // Whether the user chose these two numbers.  A number that was derived from the machine is part
  // of the context of a result, but not of its name.
  bool threads_requested = false;
  bool world_size_requested = true;
  std::optional<CausalAttentionImplementation> attention =
      std::nullopt;  // on cuda; else its choice
  KernelsChoice kernels = KernelsChoice::kAuto;
  double timeout_s = 300;

  // The cores, divided among the ranks of this host; `config.sizes` and `comm` are set.
  int DefaultThreads() const;

  // What rank `rank`, one of this process, computes on: the GPU of its number on this host,
  // counted round where ranks share GPUs.
  BackendOptions BackendOf(int rank) const;
};

}  // namespace sluice
