// All memory of one rank, laid out before anything is allocated: what its prediction says is what
// Allocate takes.
//
//   RankMemory memory(plan, rank);
//   memory.bytes().total();              // printed before allocating
//   memory.Allocate(device);
//   memory.Activations(unit, layer);     // views for the kernels
//
// Kept activations and gradients in flight live in two arenas (arena.h), in which blocks share
// addresses when the rank's list of ops does not need them at the same time.  What a message brings
// has a block from the op that posts its receive.  What one takes away keeps its block until
// nothing can still be sending it: to the unit's own backward, which cannot start before the peer
// has used the activation; to the end of the pass for gradients, and for activations of a forward
// pass.
#pragma once

#include <cstdint>
#include <vector>

#include "core/device/device.h"
#include "parallel/exec/job.h"
#include "parallel/exec/local_units.h"
#include "parallel/exec/unit_layout.h"

namespace sluice {

// Bytes of each kind that a rank allocates, the kernels' workspace not among them.
struct RankBytes {
  int64_t weights = 0;
  int64_t weight_gradients = 0;
  int64_t activations = 0;  // kept for the backward, keys and values, and messages of both; peak
  int64_t activation_gradients = 0;  // in flight between ops; peak
  int64_t scratch = 0;               // contents do not outlive an op
  int64_t input = 0;  // the model's input and the loss's projection, where the rank needs them

  int64_t total() const {
    return weights + weight_gradients + activations + activation_gradients + scratch + input;
  }
};

// The weights of a rank's layers. Executors on one backend whose jobs have the same hidden_size,
// dtype and initial values, and whose ranks hold the same layers from the first on, can share them
// one after another: each allocates and draws only the layers that are missing.
struct RankWeights {
  std::vector<int64_t> layers;                 // numbers in the model
  std::vector<LayerParameterTensors> tensors;  // of these layers
  std::vector<Buffer> buffers;
  size_t num_drawn = 0;  // layers whose tensors have their values
};

class RankMemory {
 public:
  // The plan must outlive the memory.
  RankMemory(const JobPlan& plan, const RankCoordinates& rank);

  const RankBytes& bytes() const { return bytes_; }
  const UnitLayout& layout() const { return layout_; }
  const LocalUnits& units() const { return units_; }

  // What the forward of one unit adds to the activations: the activation_bytes of a simulation, by
  // the formula of docs/metrics.md.
  int64_t UnitActivationBytes(const Unit& unit) const;

  // Activations that are there all the time, beside those of units: behind a cached prefix the
  // queries, keys and values of all micro-batches.
  int64_t PermanentActivationBytes() const;

  // Throws Error naming what did not fit. With `shared` weights, allocates only those of the layers
  // that are missing there, and adds them.
  void Allocate(Device& device, RankWeights* shared = nullptr);

  // The layers that this rank holds, in the order of the model, and their tensors.
  const std::vector<int64_t>& layers() const { return layers_; }
  // How many of them had their values in shared weights.
  size_t num_drawn_layers() const { return num_drawn_layers_; }
  const LayerParameterTensors& Weights(int64_t layer) const { return weights_[IndexOf(layer)]; }
  const LayerParameterTensors& WeightGradients(int64_t layer) const {
    return weight_gradients_[IndexOf(layer)];
  }

  // [own L, B, H]: input and output of a unit.
  Tensor Input(const Unit& unit) const;
  Tensor Output(const Unit& unit) const;
  // [L, B, H], of which own rows are received or computed: the gradients of its output and of its
  // input.
  Tensor OutputGradient(const Unit& unit) const;
  Tensor InputGradient(const Unit& unit) const;
  // [own L, B, H], accumulator type; absent for the mean loss.
  Tensor Projection(const Unit& unit) const;
  // [1], accumulator type.
  Tensor Loss() const { return loss_; }

  LayerActivations Activations(const Unit& unit, int64_t layer) const;
  // `backward`: those of kBackward are shared by all units; those of a split backward are the
  // unit's own.
  LayerGradients Gradients(const Unit& unit, int64_t layer, OpKind backward) const;
  // [L, B, H]: the gradient of the input of `layer`, which its backward writes the own rows of.
  Tensor LayerInputGradient(const Unit& unit, int64_t layer, OpKind backward) const;
  Tensor KeyValueAccumulator(const Unit& unit, int64_t layer) const;
  LayerScratch Scratch(const Unit& unit) const;

 private:
  // Indices into the arenas' blocks; -1 for none.
  struct UnitBlocks {
    int input = -1, kept = -1, output = -1;
    int output_gradient = -1, input_gradient = -1, layer_gradients = -1;
  };
  struct MicroBatchBlocks {
    int qkv = -1, key_value_accumulator = -1;
  };
  struct Arena {
    std::vector<Lifetime> blocks;
    ArenaPlan plan;
    char* base = nullptr;

    char* At(int block) const { return base + plan.offsets[static_cast<size_t>(block)]; }
  };

  // Extends the life of a block to op `op`, from there if it is new.
  static void Use(Arena& arena, int& block, int64_t size_bytes, int64_t op);
  void PlanOp(const Op& op, int64_t index, int64_t end);
  void PlanForward(const Unit& unit, int64_t index);
  void PlanBackward(const Op& op, int64_t index);
  void PlanPermanent();
  void AddWeights(Device& device, RankWeights& weights);

  bool IsStep() const { return plan_.config.pass == Pass::kStep; }
  int64_t NumLayers(const Unit& unit) const;
  // Queries, keys and values held at a time: one a layer, or one for all where nobody needs them
  // after the layer.
  int64_t NumQkv(const Unit& unit) const;
  int64_t FirstLayer(const Unit& unit) const;
  size_t IndexOf(int64_t layer) const { return index_of_layer_[static_cast<size_t>(layer)]; }
  UnitBlocks& BlocksOf(const Unit& unit) { return unit_blocks_[units_.IndexOf(unit)]; }
  const UnitBlocks& BlocksOf(const Unit& unit) const { return unit_blocks_[units_.IndexOf(unit)]; }
  MicroBatchBlocks& MicroBatchOf(const Unit& unit) {
    return micro_batch_blocks_[units_.MicroBatchIndexOf(unit)];
  }
  const MicroBatchBlocks& MicroBatchOf(const Unit& unit) const {
    return micro_batch_blocks_[units_.MicroBatchIndexOf(unit)];
  }
  // Tensors of the shared scratch region, and one of the two gradients of a layer's output in it.
  char* SharedRegion() const { return scratch_ + layer_scratch_bytes_; }
  Tensor Turn(int64_t turn, int64_t offset, int slice) const;

  // What does not depend on the unit but on its slice.
  struct SliceBytes {
    int64_t own_hidden = 0, hidden = 0, kept = 0, gradients = 0;
    // Where the slice of micro-batch 0 begins in the model's input and in the loss's projection.
    int64_t input_begin = 0, projection_begin = 0;
  };
  void PlanSlices();
  const SliceBytes& BytesOf(int slice) const { return slice_bytes_[static_cast<size_t>(slice)]; }
  const SliceBytes& BytesOfLongest() const { return BytesOf(layout_.longest_slice()); }

  const JobPlan& plan_;
  LocalUnits units_;
  UnitLayout layout_;
  std::vector<SliceBytes> slice_bytes_;
  // Of one micro-batch of the model's input and of the loss's projection, where the rank has them.
  int64_t input_bytes_ = 0, projection_bytes_ = 0;
  int64_t qkv_bytes_ = 0, key_value_bytes_ = 0;  // of one layer
  int64_t layer_scratch_bytes_ = 0;
  std::vector<int64_t> layers_;
  std::vector<size_t> index_of_layer_;

  Arena activations_, gradients_;
  std::vector<UnitBlocks> unit_blocks_;               // by the rank's numbers of units
  std::vector<MicroBatchBlocks> micro_batch_blocks_;  // and of micro-batches
  RankBytes bytes_;

  RankWeights own_weights_;
  size_t num_drawn_layers_ = 0;
  std::vector<Buffer> buffers_;
  char *scratch_ = nullptr, *input_ = nullptr, *projection_ = nullptr;
  std::vector<LayerParameterTensors> weights_, weight_gradients_;
  Tensor loss_;
};

}  // namespace sluice
