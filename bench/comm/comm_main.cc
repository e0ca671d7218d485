// The program //bench/comm: latency and bandwidth of every primitive that schemes use.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench/comm/measure_primitive.h"
#include "bench/comm/primitives.h"
#include "bench/harness/result_flags.h"
#include "core/backend/backend.h"
#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "core/base/median.h"
#include "core/base/parse.h"
#include "core/cli/build_info.h"
#include "core/cli/main.h"
#include "core/device/cpu/cpu_device.h"
#include "parallel/comm/fingerprint.h"
#include "parallel/comm/mpi/mpi_communicator.h"
#include "parallel/comm/nccl/device_communicator.h"
#include "programs/comm_flags.h"
#include "programs/gpu_use.h"
#include "programs/job.h"
#include "programs/rank_starter.h"
#include "programs/shared_flags.h"

namespace sluice {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 34;

}  // namespace
}  // namespace sluice

SLUICE_FLAG_GROUP("Measurement");
SLUICE_INT_LIST_FLAG(
    bytes, 1, sluice::kMaxBytes,
    "sizes of the messages; default: 8,1024,32768,1048576,8388608,67108864, and with "
    "nccl also 2^28 and 2^30");
SLUICE_N_STEPS_FLAG(10, "timed repetitions of each primitive and size");

namespace sluice {
namespace {

struct CommBenchmark {
  std::string name;
  Primitive primitive;
  PrimitiveOptions options;
};

std::vector<int64_t> SizesFromFlags(CommKind kind) {
  if (!FLAGS_bytes.empty()) return ParseIntegerList("--bytes", FLAGS_bytes, {1, kMaxBytes});
  std::vector<int64_t> sizes = {8, 1 << 10, 1 << 15, 1 << 20, 1 << 23, 1 << 26};
  if (kind == CommKind::kNccl) sizes.insert(sizes.end(), {1 << 28, 1 << 30});
  return sizes;
}

int WorldSizeFrom(const CommRequest& request) {
  CheckIsBuilt(request.kind);
  const bool is_launched = RanksAreProcesses(request.kind);
  // A launcher's process may not use CUDA before it is a rank.
  const int num_devices =
      is_launched ? LaunchedWorldSize(request) : NumDevices(DeviceOf(request.kind));
  const int world_size =
      is_launched ? num_devices : request.world_size.value_or(std::max(2, num_devices));
  if (request.kind == CommKind::kNccl && world_size > num_devices) {
    throw Error(
        fmt::format("world_size {} is more than the {} GPUs of this host; ranks that share a "
                    "GPU are started by tools/launch/launch --ranks_per_gpu=K",
                    world_size, num_devices));
  }
  if (world_size < 2)
    throw Error("world_size 1 is not allowed: communication needs at least 2 ranks");
  return world_size;
}

// "/world_size:4" where the user or a launcher chose it: a name does not depend on the machine, but
// the default does.  The context of a result always has it.
std::string WorldSizeInName(const CommRequest& request, int world_size) {
  const bool is_requested = request.world_size.has_value() || RanksAreProcesses(request.kind);
  return is_requested ? fmt::format("/world_size:{}", world_size) : "";
}

std::vector<CommBenchmark> MakeBenchmarks(const CommRequest& request, int world_size) {
  const CommKind kind = request.kind;
  const std::string_view mark = request.gpu_use == GpuUse::kShared ? kSharedGpuName : "";
  const std::string world_size_in_name = WorldSizeInName(request, world_size);
  std::vector<CommBenchmark> benchmarks;
  const auto add = [&](const Primitive& primitive, int64_t bytes) {
    const std::string name =
        fmt::format("primitive:{}/bytes:{}{}/comm:{}{}/dtype:f32", primitive.name, bytes,
                    world_size_in_name, Name(kind), mark);
    benchmarks.push_back({name, primitive, {.min_bytes = bytes, .n_steps = FLAGS_n_steps}});
  };
  // With nccl the barrier is one of hosts, which --comm=mpi times.
  if (kind != CommKind::kNccl) {
    for (const Primitive& primitive : BarrierPrimitives()) add(primitive, 0);
  }
  for (const auto& group : {PointToPointPrimitives(), ReductionPrimitives(), CopyPrimitives()}) {
    for (const Primitive& primitive : group) {
      for (const int64_t bytes : SizesFromFlags(kind)) add(primitive, bytes);
    }
  }
  return benchmarks;
}

constexpr const char* kRow = "{:<15} {:>10} {:>6} {:>12} {:>12} {:>9} {:>10} {:>9} {:>10} {:>7}\n";

void PrintHeader(int world_size, std::string_view comm) {
  fmt::print("{} ranks, --comm={}, float32\n\n", world_size, comm);
  fmt::print(kRow, "primitive", "bytes", "calls", "us median", "us min", "spread", "algorithm",
             "bus", "of memcpy", "#wrong");
  fmt::print(kRow, "", "", "", "", "", "", "GB/s", "GB/s", "", "");
}

using Counters = std::map<std::string, double>;

Counters CountersOf(const Primitive& primitive, const PrimitiveMeasurement& m, int world_size) {
  const double median_s = Median(m.elapsed_s);
  const auto [min, max] = std::minmax_element(m.elapsed_s.begin(), m.elapsed_s.end());
  Counters counters = {{"size_bytes", static_cast<double>(m.size_bytes)},
                       {"calls_per_repetition", static_cast<double>(m.num_calls)},
                       {"median_us", median_s * 1e6},
                       {"min_us", *min * 1e6},
                       {"max_us", *max * 1e6},
                       {"num_wrong", static_cast<double>(m.num_wrong)}};
  if (m.size_bytes == 0) return counters;
  const double rate = static_cast<double>(m.size_bytes) / median_s;
  counters["algorithm_bytes_per_s"] = rate;
  counters["bus_bytes_per_s"] = rate * primitive.bus_factor(world_size);
  if (m.memcpy_s > 0) {
    counters["memcpy_bytes_per_s"] = static_cast<double>(m.size_bytes) / m.memcpy_s;
    counters["share_of_memcpy"] = m.memcpy_s / median_s;
  }
  return counters;
}

void PrintRow(const Primitive& primitive, const Counters& counters, GpuUse use) {
  const auto shown = [&](const std::string& name, double unit, const char* format) {
    const auto counter = counters.find(name);
    return counter == counters.end() ? "-"
                                     : fmt::format(fmt::runtime(format), counter->second / unit);
  };
  const double spread = (counters.at("max_us") - counters.at("min_us")) / counters.at("median_us");
  fmt::print(kRow, primitive.name, shown("size_bytes", 1, "{:.0f}"),
             shown("calls_per_repetition", 1, "{:.0f}"), shown("median_us", 1, "{:.2f}"),
             shown("min_us", 1, "{:.2f}"), fmt::format("{:.1f} %", 100 * spread),
             shown("algorithm_bytes_per_s", 1e9, "{:.3f}"), shown("bus_bytes_per_s", 1e9, "{:.3f}"),
             shown("share_of_memcpy", 0.01, "{:.1f} %"), shown("num_wrong", 1, "{:.0f}"));
  if (use == GpuUse::kShared) fmt::print("  {}\n", kSharedGpuMark);
  std::fflush(stdout);
}

BackendOptions BackendOf(CommKind kind, int rank) {
  BackendOptions options = Job{.comm = kind, .device = DeviceOf(kind)}.BackendOf(rank);
  options.has_kernels = false;
  return options;
}

PrimitiveMeasurement Measure(const CommBenchmark& benchmark, const CommRequest& request,
                             int world_size, RankStarter& ranks) {
  PrimitiveMeasurement measurement;
  ranks.Run(world_size, [&](Communicator& world) {
    const auto measure = [&](Communicator& comm, Device& device, Stream& stream) {
      const PrimitiveMeasurement m =
          MeasurePrimitive(benchmark.primitive, benchmark.options, {comm, device, stream});
      if (comm.rank() == ranks.rank()) measurement = m;
    };
    if (request.kind == CommKind::kNccl) {
      const Backend gpu = MakeBackend(BackendOf(request.kind, world.rank()));
      const std::unique_ptr<Communicator> gpus =
          MakeDeviceCommunicator(world, *gpu.stream, request.gpu_use);
      return measure(*gpus, *gpu.device, *gpu.stream);
    }
    // Without kernels: those of a matrix library keep a core busy for a while.
    CpuDevice device({.num_threads = 1});
    measure(world, device, *device.MakeStream());
  });
  return measurement;
}

void CheckAgreement(RankStarter& ranks) {
  if (ranks.world() == nullptr) return;
  CheckFingerprint(*ranks.world(),
                   std::vector<FingerprintField>{{"commit", GetBuildInfo().commit},
                                                 {"bytes", FLAGS_bytes},
                                                 {"filter", ResultOptionsFromFlags().filter},
                                                 {"n_steps", std::to_string(FLAGS_n_steps)}});
}

// Called before ranks start, so that an error is printed once. A rank sends and receives at most
// its size at a time; rank 0 then copies as much twice.
void CheckCanRun(const std::vector<CommBenchmark>& benchmarks, CommKind kind, int num_local_ranks) {
  std::vector<std::string> names;
  for (const CommBenchmark& benchmark : benchmarks) {
    if (std::ranges::find(names, benchmark.name) != names.end()) {
      throw Error(fmt::format("--bytes '{}': '{}' is given twice", FLAGS_bytes, benchmark.name));
    }
    names.push_back(benchmark.name);
  }
  const std::vector<size_t> selected = SelectedIndices(names, ResultOptionsFromFlags().filter);
  // On a GPU the allocation itself fails with an error that names the sizes.
  if (DeviceOf(kind) != DeviceKind::kCpu) return;
  const Backend backend = MakeBackend({});
  for (const size_t i : selected) {
    const int64_t needed_bytes = CheckedProduct(
        "the memory of a benchmark",
        {2, benchmarks[i].options.min_bytes, CheckedSum("ranks", num_local_ranks, 1)});
    if (needed_bytes <= backend.device->available_bytes()) continue;
    throw Error(
        fmt::format("out of memory: {} needs {} for the {} ranks of this host, have {}; "
                    "use smaller --bytes",
                    names[i], FormatBytes(needed_bytes), num_local_ranks,
                    FormatBytes(backend.device->available_bytes())));
  }
}

// Throws Error before any benchmark runs where ranks may not use their GPUs together. Ranks in
// threads have one GPU each, see WorldSizeFrom.
void CheckGpus(const CommRequest& request, const Backend& backend, RankStarter& ranks) {
  if (request.kind != CommKind::kNccl || ranks.world() == nullptr) return;
  MakeDeviceCommunicator(*ranks.world(), *backend.stream, request.gpu_use);
}

int RunAll(const CommRequest& request, const std::vector<CommBenchmark>& all, int world_size,
           RankStarter& ranks) {
  CheckAgreement(ranks);
  if (request.gpu_use == GpuUse::kShared) CheckSharesGpu(*ranks.world());
  const std::string comm(Name(request.kind));
  const int rank = ranks.rank();
  std::vector<Benchmark> benchmarks;
  for (const CommBenchmark& benchmark : all) {
    const auto measure = [&, world_size] {
      const PrimitiveMeasurement m = Measure(benchmark, request, world_size, ranks);
      const Counters counters = CountersOf(benchmark.primitive, m, world_size);
      if (rank == 0) PrintRow(benchmark.primitive, counters, request.gpu_use);
      if (m.num_wrong > 0) throw Error(fmt::format("{} elements are wrong", m.num_wrong));
      return Samples{.elapsed_s = m.elapsed_s,
                     .cpu_s = m.cpu_s,
                     .contention = m.contention,
                     .conditions = m.conditions,
                     .counters = counters};
    };
    benchmarks.push_back({.name = benchmark.name, .measure = measure});
  }
  const Backend backend = MakeBackend(BackendOf(request.kind, rank));
  BenchmarkContext context = {{"device", std::string(Name(backend.device->kind()))},
                              {"device_name", backend.device->description()},
                              {"comm", comm},
                              {"world_size", std::to_string(world_size)},
                              {"num_threads", "1"},
                              {"dtype", "f32"}};
  if (request.gpu_use == GpuUse::kShared) context.emplace_back("share_gpu", kSharedGpuMark);
  const auto before = [&] {
    CheckGpus(request, backend, ranks);
    if (rank == 0) PrintHeader(world_size, comm);
  };
  return RunBenchmarks(
      benchmarks,
      {.result = ResultOptionsFromFlags(), .context = context, .rank = rank, .before = before});
}

int Run() {
  const CommRequest request = CommFromFlags();
  const int world_size = WorldSizeFrom(request);
  const std::vector<CommBenchmark> all = MakeBenchmarks(request, world_size);
  CheckCanRun(all, request.kind,
              RanksAreProcesses(request.kind) ? MpiLocalWorldSize() : world_size);
  return RunWithRanks(request.kind, request.options,
                      [&](RankStarter& ranks) { return RunAll(request, all, world_size, ranks); });
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::Main(argc, argv,
                      {.purpose = "Measures latency and bandwidth of every communication "
                                  "primitive, and checks the results.",
                       .example = "bazel run //bench/comm -- --world_size=2 --bytes=8,1048576"},
                      sluice::Run);
}
