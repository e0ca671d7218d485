#include "bench/comm/measure_primitive.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "bench/harness/process_usage.h"
#include "core/base/check.h"
#include "core/base/median.h"
#include "parallel/comm/rank_status.h"

namespace sluice {
namespace {

// A repetition of short calls is long compared with the clock resolution and the barrier before it.
int64_t NumCalls(int64_t size_bytes) {
  constexpr int64_t kRepetitionBytes = 1 << 26;
  return std::clamp<int64_t>(kRepetitionBytes / std::max<int64_t>(size_bytes, 1), 1, 64);
}

// The number of wrong elements on all ranks after one run.
int64_t CheckedRun(const Exchange& exchange, Communicator& comm) {
  exchange.fill();
  exchange.run();
  comm.Drain();
  int64_t num_wrong = exchange.num_wrong();
  comm.host().AllReduce({&num_wrong, 1, ControlType::kInt64}, ReduceOp::kSum);
  return num_wrong;
}

double MedianMemcpySeconds(int64_t size_bytes, const PrimitiveOptions& options) {
  const auto size = static_cast<size_t>(size_bytes);
  std::vector<char> from(size, 1), to(size, 2);
  const int64_t num_calls = NumCalls(size_bytes);
  std::vector<double> elapsed_s;
  for (int64_t step = -1; step < options.n_steps; ++step) {
    const int64_t begin_ns = MonotonicNs();
    for (int64_t i = 0; i < num_calls; ++i) {
      // As a transfer back and forth does.
      std::memcpy(i % 2 == 0 ? to.data() : from.data(), i % 2 == 0 ? from.data() : to.data(), size);
      asm volatile("" : : "r"(from.data()), "r"(to.data()) : "memory");  // each copy is made
    }
    const bool is_warm_up = step < 0;
    if (is_warm_up) continue;
    elapsed_s.push_back(static_cast<double>(MonotonicNs() - begin_ns) * 1e-9 /
                        static_cast<double>(num_calls));
  }
  return Median(elapsed_s);
}

}  // namespace

PrimitiveMeasurement MeasurePrimitive(const Primitive& primitive, const PrimitiveOptions& options,
                                      const ExchangeRank& rank) {
  Communicator& comm = rank.comm;
  SLUICE_CHECK_GE(comm.world_size(), 2);
  const Exchange exchange = primitive.prepare(rank, options.min_bytes);
  PrimitiveMeasurement m = {.size_bytes = exchange.size_bytes,
                            .num_calls = NumCalls(exchange.size_bytes)};
  m.num_wrong = CheckedRun(exchange, comm);
  const std::unique_ptr<StreamTimer> timer = rank.stream.MakeTimer();
  const std::unique_ptr<StreamGraph> calls = rank.stream.Capture([&] {
    for (int64_t i = 0; i < m.num_calls; ++i) exchange.run();
  });
  const auto num_transfers = static_cast<double>(m.num_calls * primitive.num_transfers);
  const std::unique_ptr<DeviceMonitor> monitor = rank.device.MakeMonitor();
  const ContentionMeter meter;
  if (monitor != nullptr) monitor->Start();
  for (int64_t step = 0; step < options.n_steps; ++step) {
    exchange.fill();
    comm.Barrier();
    const double begin_cpu_s = ProcessCpuSeconds();
    timer->Begin();
    calls->Launch();
    timer->End();
    comm.Drain();
    m.elapsed_s.push_back(static_cast<double>(timer->ElapsedNs()) * 1e-9 / num_transfers);
    // The CPU time of a process includes all its ranks, so each must have finished.
    comm.Barrier();
    m.cpu_s.push_back((ProcessCpuSeconds() - begin_cpu_s) / num_transfers);
  }
  if (monitor != nullptr) m.conditions = monitor->Stop();
  const CpuContention own_contention = meter.Stop();
  const bool is_cpu = rank.device.kind() == DeviceKind::kCpu;
  if (is_cpu) m.contention = MostContention(comm.host(), own_contention);
  comm.host().AllReduce({m.elapsed_s.data(), options.n_steps, DType::kFloat64}, ReduceOp::kMax);
  m.num_wrong += CheckedRun(exchange, comm);
  comm.Barrier();
  const bool is_copy = primitive.copies == Primitive::Copies::kOneToOne && is_cpu;
  if (comm.rank() == 0 && is_copy) m.memcpy_s = MedianMemcpySeconds(m.size_bytes, options);
  comm.Barrier();
  return m;
}

}  // namespace sluice
