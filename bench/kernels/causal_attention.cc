// Causal attention, forward and backward, over slice lengths and cached prefixes.

#include <fmt/format.h>

#include <optional>
#include <string_view>

#include "bench/harness/flops.h"
#include "bench/kernels/kernel_program.h"
#include "core/cli/flags.h"
#include "core/kernels/causal_attention/attention_implementation.h"

namespace sluice {
namespace {

using Attention = std::optional<CausalAttentionImplementation>;

// Parses a list such as "hopper,cudnn".
std::vector<Attention> ParseAttentions(std::string_view text) {
  std::vector<Attention> attentions;
  while (true) {
    const size_t comma = text.find(',');
    attentions.push_back(ParseAttention(text.substr(0, comma)));
    if (comma == std::string_view::npos) return attentions;
    text.remove_prefix(comma + 1);
  }
}

FlagType AttentionListFlag() {
  return {.name = "list",
          .allowed = [] { return fmt::format("of {}", fmt::join(AttentionChoices(), ", ")); },
          .check = [](std::string_view, std::string_view text) { ParseAttentions(text); }};
}

}  // namespace
}  // namespace sluice

SLUICE_FLAG_GROUP("Attention");
SLUICE_TEXT_FLAG_OF(attention, "default", sluice::AttentionListFlag(),
                    "implementations to time on cuda");

namespace sluice {
namespace {

// All tensors of one slice, as the forward and the backward need them.
struct Call {
  CausalAttentionForwardArgs forward;
  CausalAttentionBackwardArgs backward;
};

Call MakeCall(Operands& operands, const AttentionSize& size, const Slice& slice) {
  const auto [b, n, d] = size;
  Call call;
  call.forward = {.qkv = operands.Activation({slice.begin + slice.len, b, n, 3, d}),
                  .prefix_len = slice.begin,
                  .out = operands.Activation({slice.len, b, n, d}),
                  .lse = operands.Accumulator({slice.len, b, n})};
  call.backward = {.qkv = call.forward.qkv,
                   .prefix_len = slice.begin,
                   .out = call.forward.out,
                   .lse = call.forward.lse,
                   .dout = operands.Activation({slice.len, b, n, d}),
                   .dqkv = operands.Activation({slice.len, b, n, 3, d})};
  if (slice.begin > 0) {
    call.backward.dkv_accumulator = operands.Accumulator({slice.begin + slice.len, b, n, 2, d});
  }
  return call;
}

KernelCall Forward(Operands& operands, const AttentionSize& size, const Slice& slice) {
  const Call call = MakeCall(operands, size, slice);
  return {[=](Kernels& kernels) { kernels.CausalAttentionForward(call.forward); },
          {call.forward.out, call.forward.lse}};
}

// The backward of the last slice of the sequence. `out` and `lse` come from the forward, which runs
// once, in the first call.
KernelCall Backward(Operands& operands, const AttentionSize& size, const Slice& slice) {
  const Call call = MakeCall(operands, size, slice);
  return {[call, has_run = false](Kernels& kernels) mutable {
            if (!has_run) kernels.CausalAttentionForward(call.forward);
            has_run = true;
            kernels.CausalAttentionBackward(call.backward);
          },
          {call.backward.dqkv}};
}

std::vector<KernelBenchmark> Benchmarks(const KernelSizes& sizes, const Slice& slice) {
  const AttentionSize size = {sizes.batch_size, sizes.model.num_heads, sizes.model.head_dim()};
  const std::string batch =
      size.batch_size > 1 ? fmt::format("/batch_size:{}", size.batch_size) : "";
  const std::vector<Attention> attentions = ParseAttentions(FLAGS_attention);
  std::vector<KernelBenchmark> benchmarks;
  const auto add = [&](std::string_view name, int64_t flops, const auto& prepare) {
    for (const Attention& attention : attentions) {
      benchmarks.push_back(
          {.name = fmt::format("{}/{}{}/num_heads:{}/head_dim:{}{}", name, NameOf(slice), batch,
                               size.num_heads, size.head_dim,
                               attention ? fmt::format("/attention:{}", Name(*attention)) : ""),
           .ceiling = Ceiling::kMatMulRate,
           .work = flops,
           .attention = attention,
           .prepare = [=](Operands& operands) { return prepare(operands, size, slice); }});
    }
  };
  add("causal_attention_forward", CausalAttentionForwardFlops(size, slice), Forward);
  add("causal_attention_backward", CausalAttentionBackwardFlops(size, slice), Backward);
  return benchmarks;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::KernelProgram(
      argc, argv,
      {.purpose = "Times causal attention on slices of a model's sequence after cached prefixes.",
       .example = "bazel run //bench/kernels:causal_attention -- --model=gpt2-1hm "
                  "--slice_lens=128,1024 --prefix_lens=0,1024"},
      {.of_slice = sluice::Benchmarks, .prefix = sluice::KernelFamily::Prefix::kRead});
}
