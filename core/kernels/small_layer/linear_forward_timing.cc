// Times the forward of linear layers by cuBLASLt and by the small kernels, alone and behind a layer
// norm, in bf16 on the current GPU: what the rule of PrefersSmallLinear rests on.
//
//   linear_forward_timing TOKENS INPUTS OUTPUTS ...
//
// (groups of three).  Each number is microseconds for one layer of a CUDA graph of 96, whose
// weights take turns, so that none is in the multiprocessors' caches; the median of 21 launches.
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/device/cuda/cuda_check.h"
#include "core/device/cuda/cuda_device.h"
#include "core/kernels/layer_norm/layer_norm_cuda.h"
#include "core/kernels/matmul/matmul_cuda.h"
#include "core/kernels/small_layer/linear_forward.h"

namespace sluice::cuda {
namespace {

constexpr int kNumLayers = 96;
constexpr int kNumWeights = 24;
constexpr int kRepetitions = 21;

// The layers' tensors.  Zeros: what they hold does not change the time.
class Layers {
 public:
  Layers(CudaDevice& device, CudaStream& stream, const LinearSizes& sizes)
      : device_(device), stream_(stream), sizes_(sizes) {
    const DType type = DType::kBFloat16;
    x_ = Make(type, {sizes.num_tokens, sizes.num_inputs});
    normalised_ = Make(type, {sizes.num_tokens, sizes.num_inputs});
    out_ = Make(type, {sizes.num_tokens, sizes.num_outputs});
    bias_ = Make(type, {sizes.num_outputs});
    norm_weight_ = Make(DType::kFloat32, {sizes.num_inputs});
    norm_bias_ = Make(DType::kFloat32, {sizes.num_inputs});
    mean_ = Make(DType::kFloat32, {sizes.num_tokens});
    rstd_ = Make(DType::kFloat32, {sizes.num_tokens});
    for (int i = 0; i < kNumWeights; ++i) {
      weights_.push_back(Make(type, {sizes.num_outputs, sizes.num_inputs}));
    }
  }

  LinearForwardArgs linear(int layer) const {
    return {.x = normalised_,
            .weight = weights_[static_cast<size_t>(layer % kNumWeights)],
            .bias = bias_,
            .out = out_};
  }
  LayerNormForwardArgs norm() const {
    return {.x = x_,
            .weight = norm_weight_,
            .bias = norm_bias_,
            .out = normalised_,
            .mean = mean_,
            .rstd = rstd_};
  }

  double MicrosecondsEach(const std::function<void(int layer)>& run) {
    run(0);  // chooses cuBLASLt's algorithm
    const std::unique_ptr<StreamGraph> graph = stream_.Capture([&] {
      for (int layer = 0; layer < kNumLayers; ++layer) run(layer);
    });
    const std::unique_ptr<StreamTimer> timer = stream_.MakeTimer();
    std::vector<double> times;
    for (int i = 0; i < kRepetitions; ++i) {
      timer->Begin();
      graph->Launch();
      timer->End();
      times.push_back(static_cast<double>(timer->ElapsedNs()) * 1e-3 / kNumLayers);
    }
    std::nth_element(times.begin(), times.begin() + kRepetitions / 2, times.end());
    return times[kRepetitions / 2];
  }

 private:
  Tensor Make(DType dtype, const Shape& shape) {
    const int64_t size_bytes = Tensor(nullptr, dtype, shape).num_bytes();
    buffers_.push_back(device_.Allocate(size_bytes, "a tensor"));
    SLUICE_CUDA_CHECK(cudaMemset(buffers_.back().data(), 0, static_cast<size_t>(size_bytes)));
    return {buffers_.back().data(), dtype, shape};
  }

  CudaDevice& device_;
  CudaStream& stream_;
  LinearSizes sizes_;
  std::vector<Buffer> buffers_;
  Tensor x_, normalised_, out_, bias_, norm_weight_, norm_bias_, mean_, rstd_;
  std::vector<Tensor> weights_;
};

void TimeSizes(CudaDevice& device, CudaStream& stream, CublasLtMatmul& matmul,
               const LinearSizes& sizes) {
  Layers layers(device, stream, sizes);
  const Buffer scratch =
      device.Allocate(LinearScratchBytes(std::max(sizes.num_inputs, sizes.num_outputs)), "scratch");
  const LinearContext context = {.matmul = matmul, .stream = stream, .scratch = scratch.data()};
  const cudaStream_t handle = stream.handle();
  std::string line =
      fmt::format("{:6} {:6} {:6}", sizes.num_tokens, sizes.num_inputs, sizes.num_outputs);
  const auto add = [&](bool can_run, const std::function<void(int layer)>& run) {
    line += can_run ? fmt::format(" {:7.2f}", layers.MicrosecondsEach(run)) : "       -";
  };
  constexpr SmallLinearTile kTiles[] = {SmallLinearTile::k16, SmallLinearTile::k32,
                                        SmallLinearTile::k64};
  add(true, [&](int layer) { LinearForward(layers.linear(layer), context); });
  for (const SmallLinearTile tile : kTiles) {
    add(CanRunSmallLinear(sizes, tile),
        [&](int layer) { SmallLinearForward(layers.linear(layer), tile, handle); });
  }
  add(true, [&](int layer) {
    LayerNormForward(layers.norm(), handle);
    LinearForward(layers.linear(layer), context);
  });
  for (const SmallLinearTile tile : kTiles) {
    add(CanRunSmallNormLinear(sizes, tile), [&](int layer) {
      SmallNormLinearForward(layers.norm(), layers.linear(layer), tile, handle);
    });
  }
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  if (argc % 3 != 1 || argc == 1) {
    fmt::print(stderr, "give TOKENS INPUTS OUTPUTS, once or more\n");
    return 2;
  }
  CudaDevice device({.device_index = 0});
  const std::unique_ptr<CudaStream> stream = device.MakeCudaStream();
  CublasLtMatmul matmul(device, {stream.get()}, Precision::kBFloat16);
  fmt::print(
      "tokens inputs outputs; us of one layer: cublaslt, small of 16, 32, 64 columns; behind a "
      "norm the same\n");
  for (int i = 1; i < argc; i += 3) {
    TimeSizes(device, *stream, matmul,
              {.num_tokens = std::atoll(argv[i]),
               .num_inputs = std::atoll(argv[i + 1]),
               .num_outputs = std::atoll(argv[i + 2])});
  }
  return 0;
}

}  // namespace
}  // namespace sluice::cuda

int main(int argc, char** argv) {
  try {
    return sluice::cuda::Main(argc, argv);
  } catch (const sluice::Error& error) {
    fmt::print(stderr, "linear_forward_timing: {}\n", error.what());
    return 2;
  }
}
