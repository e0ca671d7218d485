// The forward of a stack of layers on one device, for a search over many sizes: memory and weights
// of one point serve the next.
//
//   ForwardStack stack(backend, {.precision = Precision::kFloat32});
//   stack.Prepare({.num_layers = 3, .hidden_size = 768, .seq_len = 128, .prefix_len = 256});
//   stack.Run();
//
// The layers are those of the model (core/model/layer_runner.h) with its initial values; a layer's
// weights are drawn once for each hidden_size, and the others' when a point first needs them.
// Behind a prefix, every layer has a cache of its own, as in a pipeline over slices, so that it is
// read from memory; all are filled with the cached prefix of layer 0 (standard normal), because
// only their size matters to a time.  Nothing is kept for a backward, and the loss is not computed.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/backend/backend.h"
#include "core/device/cpu/thread_pool.h"
#include "core/model/layer_runner.h"
#include "core/model/tensor_parallel.h"
#include "parallel/exec/job.h"
#include "parallel/exec/unit_layout.h"

namespace sluice {

struct GridPoint {
  int64_t num_layers = 1;
  int64_t hidden_size = 64;
  int64_t seq_len = 1;
  int64_t prefix_len = 0;  // positions whose keys and values are cached

  auto operator<=>(const GridPoint&) const = default;
};

struct ForwardStackOptions {
  Precision precision = Precision::kFloat32;
  int64_t batch_size = 1;
  int64_t head_dim = 64;
  uint64_t seed = 0;
};

class ForwardStack {
 public:
  // The backend must outlive the stack.
  ForwardStack(Backend& backend, const ForwardStackOptions& options);

  // The point as a forward job of one rank.  Throws Error where the numbers make no model or
  // overflow.
  static JobPlan PlanOf(const GridPoint& point, const ForwardStackOptions& options);

  // Bytes that are held while the point runs.
  int64_t NeededBytes(const GridPoint& point) const;

  // Bytes that there are for a point: what the device has left, and what the stack holds.
  int64_t AvailableBytes() const;

  // Makes Run ready; allocates where the last points had less memory.  Throws Error when the memory
  // is not there; the stack can then be prepared for another point.
  void Prepare(const GridPoint& point);

  // Enqueues one forward on the backend's stream; allocates nothing, and may be captured.
  void Run();

  // [seq_len, batch_size, hidden_size], once the stream is synchronised.
  const Tensor& output() const { return output_; }

 private:
  // A piece of memory that is taken anew only when more is wanted.
  char* Reuse(Buffer& buffer, int64_t size_bytes, std::string_view what);
  void PrepareWeights();
  void PreparePrefix();
  void CarveActivations();
  void FillInputs();

  Backend& backend_;
  ForwardStackOptions options_;
  NoTensorParallel no_tensor_parallel_;
  ThreadPool pool_;  // draws initial values

  std::unique_ptr<JobPlan> plan_;
  std::unique_ptr<UnitLayout> layout_;

  int64_t weights_hidden_size_ = 0;  // of what is drawn below
  std::vector<Buffer> weight_buffers_;
  std::vector<LayerParameterTensors> weights_;
  std::vector<char> prefix_;  // rows of layer 0's cached prefix, in the storage type
  int64_t prefix_len_ = 0;    // of them

  Buffer cache_buffer_, activation_buffer_;
  std::vector<LayerForwardArgs> layers_;
  std::unique_ptr<LayerRunner> layer_runner_;
  Tensor output_;
};

}  // namespace sluice
