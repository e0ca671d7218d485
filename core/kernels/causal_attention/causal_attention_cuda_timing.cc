// Times causal attention on the current GPU and prints TFLOP/s, forward and backward.
//
//   causal_attention_cuda_timing DTYPE HEAD_DIM NUM_HEADS PREFIX_LEN SLICE_LEN IMPLEMENTATION ...
//
// (groups of six).  Floating-point operations are those of the visible half: 4 head_dim for each
// visible (query, key) of each head forward, 10 head_dim backward.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "core/device/cuda/cuda_check.h"
#include "core/kernels/causal_attention/attention_problem.h"

namespace sluice::cuda {
namespace {

using Implementation = CausalAttentionImplementation;

constexpr int kWarmups = 3;
constexpr int kRepetitions = 21;

// Random numbers repeated: what they are does not matter, that they are no zeros does.
void Fill(GuardedTensor& tensor) {
  constexpr int64_t kDistinct = (1 << 18) - 5;
  const std::vector<double> some = RandomValues(std::min(kDistinct, tensor.tensor().num_elements()),
                                                tensor.tensor().dtype(), 1, "timing");
  std::vector<double> all(static_cast<size_t>(tensor.tensor().num_elements()));
  for (size_t i = 0; i < all.size(); ++i) all[i] = some[i % some.size()];
  tensor.Upload(all);
}

struct Times {
  float median_ms;
  float minimum_ms;
};

// Times a captured graph of one call, so that the work of the host does not count.
template <typename Run>
Times Measure(Run run) {
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t call;
  SLUICE_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  run(stream);  // what a first call makes cannot be captured
  SLUICE_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  run(stream);
  SLUICE_CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  SLUICE_CUDA_CHECK(cudaGraphInstantiate(&call, graph, 0));
  cudaEvent_t begin;
  cudaEvent_t end;
  SLUICE_CUDA_CHECK(cudaEventCreate(&begin));
  SLUICE_CUDA_CHECK(cudaEventCreate(&end));
  std::vector<float> times;
  for (int i = 0; i < kWarmups + kRepetitions; ++i) {
    SLUICE_CUDA_CHECK(cudaEventRecord(begin, stream));
    SLUICE_CUDA_CHECK(cudaGraphLaunch(call, stream));
    SLUICE_CUDA_CHECK(cudaEventRecord(end, stream));
    SLUICE_CUDA_CHECK(cudaEventSynchronize(end));
    float ms = 0;
    SLUICE_CUDA_CHECK(cudaEventElapsedTime(&ms, begin, end));
    if (i >= kWarmups) times.push_back(ms);
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times.front()};
}

void TimeProblem(const AttentionProblem& problem, Implementation implementation) {
  DeviceAttention device(problem, implementation);
  Fill(device.qkv);
  Fill(device.dout);
  const Times forward = Measure([&](cudaStream_t stream) { device.Forward(stream); });
  const Times backward =
      Measure([&](cudaStream_t stream) { device.Backward(WriteMode::kOverwrite, stream); });
  const auto slice_len = static_cast<double>(problem.slice_len);
  const double num_visible =
      slice_len * (static_cast<double>(problem.prefix_len) + (slice_len + 1) / 2);
  const double operations =
      4 * num_visible * static_cast<double>(problem.num_pairs() * problem.head_dim);
  fmt::print("{:6} {:5} {:4} {:4} {:6} {:6}  {:9.4f} {:9.4f} {:7.1f}  {:9.4f} {:9.4f} {:7.1f}\n",
             Name(implementation), Name(problem.dtype), problem.head_dim, problem.num_heads,
             problem.prefix_len, problem.slice_len, forward.median_ms, forward.minimum_ms,
             operations / forward.median_ms * 1e-9, backward.median_ms, backward.minimum_ms,
             2.5 * operations / backward.median_ms * 1e-9);
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  if (argc % 6 != 1 || argc == 1) {
    fmt::print(stderr,
               "give DTYPE HEAD_DIM NUM_HEADS PREFIX_LEN SLICE_LEN IMPLEMENTATION, once or more\n");
    return 2;
  }
  fmt::print(
      "implementation, dtype, head_dim, num_heads, prefix_len, slice_len; forward median ms, "
      "minimum ms, TFLOP/s; backward the same\n");
  for (int i = 1; i < argc; i += 6) {
    const std::string_view dtype = argv[i];
    TimeProblem({.dtype = dtype == "bf16"   ? DType::kBFloat16
                          : dtype == "fp16" ? DType::kFloat16
                                            : DType::kFloat32,
                 .prefix_len = std::atoll(argv[i + 3]),
                 .slice_len = std::atoll(argv[i + 4]),
                 .num_heads = std::atoll(argv[i + 2]),
                 .head_dim = std::atoll(argv[i + 1])},
                *ParseAttention(argv[i + 5]));
  }
  return 0;
}

}  // namespace
}  // namespace sluice::cuda

int main(int argc, char** argv) { return sluice::cuda::Main(argc, argv); }
