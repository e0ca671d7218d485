// Times plain MPI calls with the sizes, calls and repetitions of //bench/comm --comm=mpi, without
// communicator, checks and deadlines. Run it with tools/launch, like comm itself.
#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <vector>

#include "core/base/error.h"
#include "core/base/median.h"
#include "core/base/parse.h"
#include "core/cli/main.h"
#include "programs/shared_flags.h"

SLUICE_FLAG_GROUP("Measurement");
SLUICE_INT_LIST_FLAG(bytes, 4, int64_t{1} << 30,
                     "sizes of the messages; default: 8,1024,32768,1048576");
SLUICE_N_STEPS_FLAG(10, "timed repetitions of each primitive and size");

namespace sluice {
namespace {

void Check(int code, const char* call) {
  if (code != MPI_SUCCESS) throw Error(fmt::format("{} returned {}", call, code));
}

void SendRecv(int rank, std::vector<float>& sent, std::vector<float>& received) {
  const int count = static_cast<int>(sent.size());
  const auto send = [&] {
    Check(MPI_Send(sent.data(), count, MPI_FLOAT, 1 - rank, 0, MPI_COMM_WORLD), "MPI_Send");
  };
  if (rank > 1) return;
  if (rank == 0) send();
  Check(MPI_Recv(received.data(), count, MPI_FLOAT, 1 - rank, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE),
        "MPI_Recv");
  if (rank == 1) send();
}

void AllReduce(int, std::vector<float>& sent, std::vector<float>&) {
  Check(MPI_Allreduce(MPI_IN_PLACE, sent.data(), static_cast<int>(sent.size()), MPI_FLOAT, MPI_SUM,
                      MPI_COMM_WORLD),
        "MPI_Allreduce");
}

struct BarePrimitive {
  const char* name;
  void (*run)(int rank, std::vector<float>& sent, std::vector<float>& received);
  int num_transfers;
};

// As bench/comm/measure_primitive.cc.
void Measure(const BarePrimitive& primitive, int64_t bytes, int rank) {
  const int64_t num_calls = std::clamp<int64_t>((1 << 22) / bytes, 1, 64);
  std::vector<float> sent(static_cast<size_t>(bytes) / sizeof(float));
  std::vector<float> received(sent.size());
  std::vector<double> elapsed_s;
  for (int64_t step = -1; step < FLAGS_n_steps; ++step) {
    Check(MPI_Barrier(MPI_COMM_WORLD), "MPI_Barrier");
    const double begin_s = MPI_Wtime();
    for (int64_t i = 0; i < num_calls; ++i) primitive.run(rank, sent, received);
    double call_s = (MPI_Wtime() - begin_s) / static_cast<double>(num_calls);
    Check(MPI_Allreduce(MPI_IN_PLACE, &call_s, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD),
          "MPI_Allreduce");
    if (step >= 0) elapsed_s.push_back(call_s / primitive.num_transfers);
  }
  if (rank != 0) return;
  fmt::print("{:<12} {:>10} {:>12.2f} {:>12.2f}\n", primitive.name, bytes, Median(elapsed_s) * 1e6,
             *std::min_element(elapsed_s.begin(), elapsed_s.end()) * 1e6);
}

int Run() {
  std::vector<int64_t> sizes = {8, 1 << 10, 1 << 15, 1 << 20};
  if (!FLAGS_bytes.empty()) {
    sizes = ParseIntegerList("--bytes", FLAGS_bytes, {4, int64_t{1} << 30});
  }
  Check(MPI_Init(nullptr, nullptr), "MPI_Init");
  int rank = 0, world_size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &world_size);
  if (world_size < 2)
    throw Error("at least 2 processes are needed: start this program with tools/launch/launch");
  if (rank == 0)
    fmt::print("{:<12} {:>10} {:>12} {:>12}\n", "primitive", "bytes", "us median", "us min");
  for (const BarePrimitive& primitive :
       {BarePrimitive{"send_recv", SendRecv, 2}, BarePrimitive{"all_reduce", AllReduce, 1}}) {
    for (const int64_t bytes : sizes) Measure(primitive, bytes, rank);
  }
  MPI_Finalize();
  return 0;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::Main(
      argc, argv,
      {.purpose = "Times plain MPI calls, to compare with //bench/comm --comm=mpi.",
       .example = "tools/launch/launch --ranks_per_host=2 -- //bench/comm:bare_mpi"},
      sluice::Run);
}
