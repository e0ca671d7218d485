#include "correctness/parity/fake_machine.h"

#include <cuda_runtime_api.h>

#include <functional>
#include <memory>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/device/cpu/cpu_device.h"
#include "core/device/cuda/cuda_timestamps.h"
#include "core/kernels/cpu_kernels.h"
#include "parallel/comm/nccl/fake/fake_gpu.h"
#include "parallel/comm/nccl/nccl_communicator.h"

namespace sluice {
namespace {

void Check(cudaError_t code) { SLUICE_CHECK_EQ(static_cast<int>(code), 0); }

class FakeGraph : public StreamGraph {
 public:
  FakeGraph(cudaGraph_t graph, cudaStream_t stream) : stream_(stream) {
    Check(cudaGraphInstantiate(&executable_, graph, 0));
    Check(cudaGraphDestroy(graph));
  }
  ~FakeGraph() override { Check(cudaGraphExecDestroy(executable_)); }
  FakeGraph(const FakeGraph&) = delete;
  FakeGraph& operator=(const FakeGraph&) = delete;

  void Launch() override { Check(cudaGraphLaunch(executable_, stream_)); }

 private:
  cudaStream_t stream_;
  cudaGraphExec_t executable_ = nullptr;
};

class FakeStream : public Stream {
 public:
  FakeStream() { Check(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking)); }
  ~FakeStream() override { Check(cudaStreamDestroy(handle_)); }
  FakeStream(const FakeStream&) = delete;
  FakeStream& operator=(const FakeStream&) = delete;

  cudaStream_t handle() const { return handle_; }

  void Synchronize() override { Check(cudaStreamSynchronize(handle_)); }
  bool IsIdle() override { return cudaStreamQuery(handle_) == cudaSuccess; }
  std::unique_ptr<StreamGraph> Capture(std::function<void()> work) override {
    Check(cudaStreamBeginCapture(handle_, cudaStreamCaptureModeThreadLocal));
    work();
    cudaGraph_t graph = nullptr;
    Check(cudaStreamEndCapture(handle_, &graph));
    return std::make_unique<FakeGraph>(graph, handle_);
  }
  int64_t max_timestamps() const override { return CudaTimestamps::kMaxCount; }
  std::unique_ptr<StreamTimestamps> MakeTimestamps(int64_t count) override {
    return std::make_unique<CudaTimestamps>(handle_, count);
  }

 private:
  cudaStream_t handle_ = nullptr;
};

// Enqueues what CpuKernels would do at once.  The first call of each shape of a product does to
// the device what the choice of its algorithm does on a GPU.
class EnqueuedKernels : public Kernels {
 public:
  EnqueuedKernels(CpuDevice& device, DType dtype, cudaStream_t stream, FakeTuning tuning)
      : kernels_(device, dtype), stream_(stream), is_announced_(tuning == FakeTuning::kAnnounced) {}

  bool tunes() const override { return is_announced_; }
  void set_tuning(Tuning tuning) override { tuning_ = tuning; }

  int64_t WorkspaceBytes(const KernelLimits& limits) const override {
    return kernels_.WorkspaceBytes(limits);
  }
  void Reserve(const KernelLimits& limits) override { kernels_.Reserve(limits); }
  std::string_view AttentionName(int64_t head_dim) const override {
    return kernels_.AttentionName(head_dim);
  }

  void LinearForward(const LinearForwardArgs& args) override {
    Tune({0, args.x.num_rows(), args.weight.num_rows(), args.weight.row_size()});
    Enqueue(&CpuKernels::LinearForward, args);
  }
  void LinearBackwardInput(const LinearBackwardInputArgs& args) override {
    Tune({1, args.dout.num_rows(), args.weight.num_rows(), args.weight.row_size()});
    Enqueue(&CpuKernels::LinearBackwardInput, args);
  }
  void LinearBackwardWeight(const LinearBackwardWeightArgs& args) override {
    Tune({2, args.dout.num_rows(), args.dweight.num_rows(), args.dweight.row_size(),
          args.write_mode == WriteMode::kAccumulate ? 1 : 0});
    Enqueue(&CpuKernels::LinearBackwardWeight, args);
  }
  void LayerNormForward(const LayerNormForwardArgs& args) override {
    Enqueue(&CpuKernels::LayerNormForward, args);
  }
  void LayerNormBackward(const LayerNormBackwardArgs& args) override {
    Enqueue(&CpuKernels::LayerNormBackward, args);
  }
  void CausalAttentionForward(const CausalAttentionForwardArgs& args) override {
    Enqueue(&CpuKernels::CausalAttentionForward, args);
  }
  void CausalAttentionBackward(const CausalAttentionBackwardArgs& args) override {
    Enqueue(&CpuKernels::CausalAttentionBackward, args);
  }
  void AddBiasResidual(const AddBiasResidualArgs& args) override {
    Enqueue(&CpuKernels::AddBiasResidual, args);
  }
  void LossForward(const LossForwardArgs& args) override {
    Enqueue(&CpuKernels::LossForward, args);
  }
  void LossBackward(const LossBackwardArgs& args) override {
    Enqueue(&CpuKernels::LossBackward, args);
  }

 private:
  void Tune(const std::vector<int64_t>& shape) {
    if (!tuned_.insert(shape).second) return;
    SLUICE_CHECK(tuning_ == Tuning::kAllowed);
    Check(cudaStreamSynchronize(stream_));
    void* memory = nullptr;
    Check(cudaMalloc(&memory, 1));
    Check(cudaFree(memory));
  }

  template <typename Args>
  void Enqueue(void (CpuKernels::*kernel)(const Args&), const Args& args) {
    // Kept: a graph runs it again.
    works_.push_back(
        std::make_unique<std::function<void()>>([=, this] { (kernels_.*kernel)(args); }));
    const auto run = [](void* work) { (*static_cast<std::function<void()>*>(work))(); };
    Check(cudaLaunchHostFunc(stream_, run, works_.back().get()));
  }

  CpuKernels kernels_;
  cudaStream_t stream_;
  bool is_announced_;
  Tuning tuning_ = Tuning::kAllowed;
  std::set<std::vector<int64_t>> tuned_;
  std::vector<std::unique_ptr<std::function<void()>>> works_;
};

}  // namespace

Machine FakeGpuMachine(FakeTuning tuning) {
  constexpr int kNumDevices = 8;
  fake::Reset(kNumDevices);
  return {.make_backend =
              [tuning](int rank, Precision precision) {
                Check(cudaSetDevice(rank));
                auto device = std::make_unique<CpuDevice>(CpuDeviceOptions{.num_threads = 1});
                auto stream = std::make_unique<FakeStream>();
                auto kernels = std::make_unique<EnqueuedKernels>(*device, StorageDType(precision),
                                                                 stream->handle(), tuning);
                return Backend{std::move(device), std::move(stream), std::move(kernels)};
              },
          .connect =
              [](Communicator& world, Backend& backend) {
                return MakeNcclCommunicator(world,
                                            static_cast<FakeStream&>(*backend.stream).handle());
              }};
}

}  // namespace sluice
