#include "parallel/comm/nccl/staged_communicator.h"

#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include "core/base/check.h"

namespace sluice {
namespace {

void Check(cudaError_t code) { SLUICE_CHECK_EQ(static_cast<int>(code), 0); }

// Memory of the device that stands for some of the host.
class Stage {
 public:
  explicit Stage(int64_t size_bytes) : size_bytes_(static_cast<size_t>(size_bytes)) {
    Check(cudaMalloc(&data_, std::max<size_t>(size_bytes_, 1)));
  }
  ~Stage() { cudaFree(data_); }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  void* data() const { return data_; }
  void CopyIn(const void* host, cudaStream_t stream) {
    if (size_bytes_ == 0) return;
    Check(cudaMemcpyAsync(data_, host, size_bytes_, cudaMemcpyHostToDevice, stream));
  }
  void CopyOut(void* host, cudaStream_t stream) {
    if (size_bytes_ == 0) return;
    Check(cudaMemcpyAsync(host, data_, size_bytes_, cudaMemcpyDeviceToHost, stream));
  }

 private:
  size_t size_bytes_;
  void* data_ = nullptr;
};

class StagedCommunicator : public Communicator {
 public:
  StagedCommunicator(std::unique_ptr<Communicator> device, cudaStream_t compute)
      : Communicator(device->rank(), device->world_size(), &device->status()),
        device_(std::move(device)),
        compute_(compute) {
    std::vector<int> everyone(static_cast<size_t>(world_size()));
    std::iota(everyone.begin(), everyone.end(), 0);
    device_->Connect(everyone);
  }

  Communicator& host() override { return device_->host(); }
  int GlobalRank(int rank) const override { return device_->GlobalRank(rank); }

  Transfer Start(std::span<const Message> messages) override {
    std::vector<Staged> staged;
    std::vector<Message> on_device(messages.begin(), messages.end());
    for (Message& message : on_device) {
      auto stage = std::make_unique<Stage>(message.payload.size_bytes());
      const bool sends = message.direction == Direction::kSend;
      if (sends) stage->CopyIn(message.payload.data, compute_);
      void* host = std::exchange(message.payload.data, stage->data());
      staged.push_back({std::move(stage), sends ? nullptr : host});
    }
    const Transfer transfer = device_->Start(on_device);
    staged_[transfer.id] = std::move(staged);
    return transfer;
  }

  void Wait(Transfer transfer) override {
    if (transfer.id < 0) return;
    device_->Wait(transfer);
    for (Staged& staged : staged_[transfer.id]) {
      if (staged.host != nullptr) staged.stage->CopyOut(staged.host, compute_);
    }
    WaitForCompute();
    staged_.erase(transfer.id);
  }

  void AllReduce(Payload data, ReduceOp op) override {
    Stage stage(data.size_bytes());
    stage.CopyIn(data.data, compute_);
    device_->AllReduce({stage.data(), data.count, data.type}, op);
    stage.CopyOut(data.data, compute_);
    WaitForCompute();
  }

  void AllGather(ConstPayload shard, void* gathered) override {
    Stage stage(shard.size_bytes() * world_size());
    std::byte* place = static_cast<std::byte*>(stage.data()) + rank() * shard.size_bytes();
    if (shard.count > 0) {
      Check(cudaMemcpyAsync(place, shard.data, static_cast<size_t>(shard.size_bytes()),
                            cudaMemcpyHostToDevice, compute_));
    }
    device_->AllGather({place, shard.count, shard.type}, stage.data());
    stage.CopyOut(gathered, compute_);
    WaitForCompute();
  }

  void ReduceScatter(const void* input, Payload shard, ReduceOp op) override {
    Stage whole(shard.size_bytes() * world_size());
    Stage part(shard.size_bytes());
    whole.CopyIn(input, compute_);
    device_->ReduceScatter(whole.data(), {part.data(), shard.count, shard.type}, op);
    part.CopyOut(shard.data, compute_);
    WaitForCompute();
  }

  void Broadcast(Payload data, int root) override {
    Stage stage(data.size_bytes());
    stage.CopyIn(data.data, compute_);
    device_->Broadcast({stage.data(), data.count, data.type}, root);
    stage.CopyOut(data.data, compute_);
    WaitForCompute();
  }

  void Barrier() override { device_->Barrier(); }
  void Drain() override { device_->Drain(); }
  std::unique_ptr<Communicator> Split(SplitKey key) override {
    return MakeStagedCommunicator(device_->Split(key), compute_);
  }
  void WaitUntil(const CommCall& call, const std::function<bool()>& done) override {
    device_->WaitUntil(call, done);
  }
  void ReportFault(std::exception_ptr fault) override { device_->ReportFault(std::move(fault)); }

 private:
  struct Staged {
    std::unique_ptr<Stage> stage;
    void* host;
  };

  void WaitForCompute() {
    try {
      device_->WaitUntil({CommOp::kDrain}, [this] {
        const cudaError_t code = cudaStreamQuery(compute_);
        if (code == cudaErrorNotReady) return false;
        Check(code);
        return true;
      });
    } catch (...) {
      // Copies to memory that goes when this is thrown; the abort has let them through.
      cudaStreamSynchronize(compute_);
      throw;
    }
  }

  // Goes after the communicator, which may still write it.
  std::map<int64_t, std::vector<Staged>> staged_;
  std::unique_ptr<Communicator> device_;
  cudaStream_t compute_;
};

}  // namespace

std::unique_ptr<Communicator> MakeStagedCommunicator(std::unique_ptr<Communicator> device,
                                                     cudaStream_t compute) {
  return std::make_unique<StagedCommunicator>(std::move(device), compute);
}

}  // namespace sluice
