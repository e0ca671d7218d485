#include "core/model/small_layer_choice.h"

#include <algorithm>

#include "core/kernels/small_layer/small_layer_sizes.h"

namespace sluice {
namespace {

// The linear layers of one slice.
struct Linears {
  LinearSizes in_proj, out_proj, fc1, fc2;
};
Linears LinearsOf(const UnitSizes& sizes, const UnitSizes::Slice& slice) {
  const int64_t num_tokens = slice.len * sizes.batch_size;
  const int64_t attention_size = sizes.num_heads * sizes.head_dim;
  return {.in_proj = {num_tokens, sizes.hidden_size, 3 * attention_size},
          .out_proj = {num_tokens, attention_size, sizes.hidden_size},
          .fc1 = {num_tokens, sizes.hidden_size, sizes.ffn_hidden_size},
          .fc2 = {num_tokens, sizes.ffn_hidden_size, sizes.hidden_size}};
}

AttentionSizes AttentionOf(const UnitSizes& sizes, const UnitSizes::Slice& slice) {
  return {.slice_len = slice.len,
          .prefix_len = slice.prefix_len,
          .batch_size = sizes.batch_size,
          .num_heads = sizes.num_heads,
          .head_dim = sizes.head_dim};
}

bool ChoosesForward(const LinearSizes& linear) {
  return PrefersSmallLinear(linear) && CanRunSmallLinear(linear, ChooseSmallLinearTile(linear));
}

bool ChoosesNormForward(const LinearSizes& linear) {
  return PrefersSmallLinear(linear) &&
         CanRunSmallNormLinear(linear, ChooseSmallNormLinearTile(linear));
}

bool ChoosesForward(const Linears& linears) {
  return ChoosesNormForward(linears.in_proj) && ChoosesForward(linears.out_proj) &&
         ChoosesNormForward(linears.fc1) && ChoosesForward(linears.fc2);
}

bool ChoosesBackward(const Linears& linears) {
  return PrefersSmallLinearBackward(linears.fc2) &&
         CanRunSmallNormLinearBackward(linears.in_proj) &&
         CanRunSmallLinearBackward(linears.out_proj) &&
         CanRunSmallNormLinearBackward(linears.fc1) && CanRunSmallLinearBackward(linears.fc2);
}

template <typename Predicate>
bool AllSlices(const UnitSizes& sizes, const Predicate& predicate) {
  return std::ranges::all_of(sizes.slices, predicate);
}

}  // namespace

SmallLayerChoice ChooseSmallLayer(const UnitSizes& sizes, const SmallLayerDevice& device) {
  using Slice = UnitSizes::Slice;
  // Machine code for sm_80 runs on 8.x, that for sm_90a on 9.0.
  const bool has_forward = device.compute_capability >= 80 && device.compute_capability <= 90;
  const bool has_backward = device.compute_capability == 90;
  if (!Is16Bit(device.dtype) || sizes.tensor_parallel_size > 1) return {};
  SmallLayerChoice choice;
  choice.forward = has_forward && AllSlices(sizes, [&](const Slice& slice) {
                     return ChoosesForward(LinearsOf(sizes, slice));
                   });
  choice.backward = has_backward && AllSlices(sizes, [&](const Slice& slice) {
                      return ChoosesBackward(LinearsOf(sizes, slice));
                    });
  if (!device.has_small_attention) return choice;
  choice.forward_attention =
      choice.forward && AllSlices(sizes, [&](const Slice& slice) {
        const AttentionSizes attention = AttentionOf(sizes, slice);
        return CanRunSmallAttention(attention) && PrefersSmallAttention(attention);
      });
  // A backward of several slices accumulates gradients of keys and values, which no kernel does.
  choice.backward_attention =
      choice.backward && sizes.slices.size() == 1 && AllSlices(sizes, [&](const Slice& slice) {
        const AttentionSizes attention = AttentionOf(sizes, slice);
        return CanRunSmallAttentionBackward(attention, device.max_shared_bytes) &&
               PrefersSmallAttentionBackward(attention);
      });
  return choice;
}

std::string Name(const SmallLayerChoice& choice) {
  std::string names;
  const auto add = [&](const char* name, bool is_small) {
    if (!is_small) return;
    if (!names.empty()) names += "+";
    names += name;
  };
  add("norm_in_proj", choice.forward);
  add("attention", choice.forward_attention);
  add("out_proj+norm_fc1+fc2", choice.forward);
  add("fc2_dx+norm_fc1_dx+out_proj_dx", choice.backward);
  add("attention_dx", choice.backward_attention);
  add("norm_in_proj_dx", choice.backward);
  return names.empty() ? "none" : names;
}

}  // namespace sluice
