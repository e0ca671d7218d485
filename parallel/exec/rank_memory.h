// The memory of one rank, laid out before anything is allocated: Allocate takes exactly the bytes
// that bytes() predicts.
//
//   RankMemory memory(plan, rank);
//   memory.bytes().total();              // printed before allocating
//   memory.Allocate(device);
//   memory.Activations(unit, layer);     // views for the kernels
//
// Kept activations and gradients in flight live in two arenas (arena.h), in which blocks share
// addresses when the rank's list of ops does not need them at the same time. A received tensor
// has its block from the op that posts the receive. A sent tensor keeps its block until the send
// must have completed: an activation of a step until the unit's own backward, which cannot start
// before the peer has used the activation; a gradient, and an activation of a forward pass, until
// the end of the pass.
//
// All offsets are computed at construction. A lookup takes the same time for every unit, allocates
// nothing and lays nothing out.
#pragma once

#include <cstdint>
#include <vector>

#include "core/device/device.h"
#include "parallel/exec/job_plan.h"
#include "parallel/exec/local_units.h"
#include "parallel/exec/unit_layout.h"

namespace sluice {

// Bytes that one rank allocates, by purpose.
struct RankBytes {
  int64_t weights = 0;
  int64_t weight_gradients = 0;
  int64_t activations = 0;  // kept for the backward, keys and values, and messages of both; peak
  int64_t activation_gradients = 0;  // in flight between ops; peak
  int64_t scratch = 0;               // contents do not outlive an op
  int64_t input = 0;    // the model's input and the loss's projection, where the rank needs them
  int64_t kernels = 0;  // the kernels' workspace; 0 in RankMemory, which does not allocate it

  int64_t total() const;                          // throws Error when it does not fit int64_t
  RankBytes& operator+=(const RankBytes& other);  // likewise
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

  // Activations that exist during the whole pass, in addition to those of units: with a cached
  // prefix, the queries, keys and values of all micro-batches.
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
    ArenaLayout layout;
    char* base = nullptr;

    char* At(int block) const { return base + layout.offsets[block]; }
  };

  // Extends the lifetime of a block to op `op`; a new block begins there.
  static void Use(Arena& arena, int& block, int64_t size_bytes, int64_t op);
  void UseBlocksOf(const Op& op, int64_t index, int64_t end);
  void UseBlocksOfForward(const Unit& unit, int64_t index);
  void UseBlocksOfBackward(const Op& op, int64_t index);
  void LayOutInput();
  void CountBytes();
  void AddWeights(Device& device, RankWeights& weights);

  bool IsStep() const { return plan_.config.pass == Pass::kStep; }
  int64_t NumLayers(const Unit& unit) const { return plan_.LayersOf(unit).num_layers; }
  int64_t FirstLayer(const Unit& unit) const { return plan_.LayersOf(unit).begin; }
  // Layers of queries, keys and values that exist at a time: one if none is used after its layer.
  int64_t NumQkv(const Unit& unit) const;
  // The outputs of a unit's layers except the last follow the tensors that the layers keep.
  int64_t KeptBytes(const Unit& unit) const;
  size_t IndexOf(int64_t layer) const { return index_of_layer_[layer]; }
  const SliceLayout& LayoutOf(const Unit& unit) const { return layout_.OfSlice(unit.slice); }
  UnitBlocks& BlocksOf(const Unit& unit) { return unit_blocks_[units_.IndexOf(unit)]; }
  const UnitBlocks& BlocksOf(const Unit& unit) const { return unit_blocks_[units_.IndexOf(unit)]; }
  MicroBatchBlocks& MicroBatchOf(const Unit& unit) {
    return micro_batch_blocks_[units_.MicroBatchIndexOf(unit)];
  }
  const MicroBatchBlocks& MicroBatchOf(const Unit& unit) const {
    return micro_batch_blocks_[units_.MicroBatchIndexOf(unit)];
  }
  // The scratch memory behind the layer's own scratch, and the address of one of the two hidden
  // tensors behind `offset` in it: consecutive layers alternate between them.
  char* SharedRegion() const { return scratch_ + layout_.OfLongestSlice().scratch.size_bytes(); }
  char* AlternatingHidden(int64_t index, int64_t offset) const;

  // Offsets of a slice of micro-batch 0 in the model's input and in the loss's projection.
  struct InputOffsets {
    int64_t input = 0, projection = 0;
  };

  const JobPlan& plan_;
  LocalUnits units_;
  UnitLayout layout_;
  std::vector<InputOffsets> input_offsets_;  // [num_slices]
  InputOffsets micro_batch_bytes_;  // of the input and the projection, where the rank has them
  std::vector<int64_t> layers_;
  std::vector<size_t> index_of_layer_;

  Arena activations_, gradients_;
  std::vector<UnitBlocks> unit_blocks_;               // by LocalUnits::IndexOf
  std::vector<MicroBatchBlocks> micro_batch_blocks_;  // by LocalUnits::MicroBatchIndexOf
  RankBytes bytes_;

  RankWeights own_weights_;
  size_t num_drawn_layers_ = 0;
  std::vector<Buffer> buffers_;
  char *scratch_ = nullptr, *input_ = nullptr, *projection_ = nullptr;
  std::vector<LayerParameterTensors> weights_, weight_gradients_;
  Tensor loss_;
};

}  // namespace sluice
