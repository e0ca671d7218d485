// Flags that several programs have, each with one meaning and one range.
//
// A program declares those that it reads, at namespace scope of its .cc file, with the default and
// the part of the help text that are its own:
//
//   SLUICE_DEVICE_FLAG();
//   SLUICE_N_STEPS_FLAG(50, "timed calls of each kernel");
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "core/cli/flags.h"
#include "core/device/device.h"
#include "core/tensor/dtype.h"

namespace sluice {

// The largest value of any flag that gives the size of a model, a batch or a sequence.
constexpr int64_t kMaxExtent = 1 << 30;

// The choices of --model, --device, --dtype and --grad_dtype.
std::vector<std::string> ModelNames();
std::vector<std::string> DeviceNames();
std::vector<std::string> PrecisionNames();
std::vector<std::string> GradDTypeNames();

// `name` is one of DeviceNames.
DeviceKind ParseDevice(std::string_view name);

// Throws Error where --threads was given although `device` is not the CPU.
void CheckThreadsFlag(DeviceKind device);

}  // namespace sluice

#define SLUICE_MODEL_FLAG(help) SLUICE_CHOICE_FLAG(model, "test", ::sluice::ModelNames(), help)

#define SLUICE_BATCH_SIZE_FLAG() \
  SLUICE_INT_FLAG(batch_size, 1, 1, ::sluice::kMaxExtent, "number of sequences in the batch")

#define SLUICE_SEED_FLAG()                                         \
  SLUICE_INT_FLAG(seed, 0, 0, std::numeric_limits<int64_t>::max(), \
                  "seed of the weights, the input and the projection")

#define SLUICE_DEVICE_FLAG() \
  SLUICE_CHOICE_FLAG(device, "cpu", ::sluice::DeviceNames(), "device that the ranks compute on")

#define SLUICE_DTYPE_FLAG(default_value, help) \
  SLUICE_CHOICE_FLAG(dtype, default_value, ::sluice::PrecisionNames(), "compute precision" help)

// `default_help` says how many threads there are without the flag.
#define SLUICE_THREADS_FLAG(default_help)    \
  SLUICE_OPTIONAL_INT_FLAG(threads, 1, 4096, \
                           "threads of each rank on the CPU; default: " default_help)

#define SLUICE_N_STEPS_FLAG(default_value, help) \
  SLUICE_INT_FLAG(n_steps, default_value, 1, 1'000'000, help)

#define SLUICE_WARMUP_S_FLAG(help) SLUICE_NUMBER_FLAG(warmup_s, 0, 0, 3600, help)
