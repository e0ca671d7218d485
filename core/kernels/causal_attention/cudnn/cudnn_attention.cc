#include "core/kernels/causal_attention/cudnn/cudnn_attention.h"

#include <fmt/format.h>

#include <array>
#include <map>
#include <tuple>

#include "core/base/check.h"
#include "core/base/checked_math.h"
#include "core/base/error.h"
#include "core/device/cuda/cuda_check.h"
#include "core/kernels/causal_attention/cudnn/cudnn_attention_graph.h"
#include "core/kernels/causal_attention/cudnn/cudnn_layouts.h"
#include "core/kernels/causal_attention/cudnn/cudnn_library.h"
#include "core/kernels/cuda/element_types.h"

namespace sluice::cuda {
namespace {

constexpr int64_t kWorkspaceAlignment = 256;
constexpr int64_t kElementBytes = 2;  // of bf16 and fp16

// What a thread keeps for one GPU.
using PlanKey = std::tuple<DType, int /*prefix_len*/, int /*slice_len*/, int /*num_pairs*/,
                           int /*head_dim*/, CudnnKeyGradients>;
struct CudnnContext {
  cudnnHandle_t handle = nullptr;
  std::map<PlanKey, CudnnForwardGraph> forwards;
  std::map<PlanKey, CudnnBackwardGraph> backwards;
};

// Never destroyed: a plan's kernels go with it, and CUDA graphs that captured them may outlive the
// thread's own objects.
CudnnContext& ContextOfThread() {
  thread_local std::map<int, CudnnContext>* contexts = new std::map<int, CudnnContext>;
  int device = 0;
  SLUICE_CUDA_CHECK(cudaGetDevice(&device));
  CudnnContext& context = (*contexts)[device];
  if (context.handle == nullptr) SLUICE_CUDNN_CHECK(Cudnn().create(&context.handle));
  return context;
}

cudnnDataType_t CudnnType(DType dtype) {
  SLUICE_CHECK(Is16Bit(dtype));
  return dtype == DType::kFloat16 ? CUDNN_DATA_HALF : CUDNN_DATA_BFLOAT16;
}

// The plan of a shape, made by `make` on the first call.
template <typename Graph, typename Make>
const Graph& FindOrMake(std::map<PlanKey, Graph>& graphs, const AttentionShape& shape, DType dtype,
                        CudnnKeyGradients key_gradients, Make make) {
  const PlanKey key = {dtype,           shape.prefix_len, shape.slice_len,
                       shape.num_pairs, shape.head_dim,   key_gradients};
  const auto found = graphs.find(key);
  if (found != graphs.end()) return found->second;
  std::string reason;
  std::optional<Graph> graph = make(&reason);
  if (!graph) {
    throw Error(fmt::format(
        "cudnn attention has no kernel for {} head_dim {} slice_len {} prefix_len {}: {}",
        Name(dtype), shape.head_dim, shape.slice_len, shape.prefix_len, reason));
  }
  return graphs.emplace(key, std::move(*graph)).first->second;
}

// The parts of the workspace.
struct Workspace {
  int64_t lse = 0;  // offsets in bytes
  int64_t delta = 0;
  int64_t dq_sum = 0;
  int64_t dkv = 0;
  int64_t plan = 0;
  int64_t size_bytes = 0;
};
Workspace LayOut(const AttentionShape& shape) {
  constexpr auto kFloatBytes = static_cast<int64_t>(sizeof(float));
  const int64_t queries = int64_t{shape.slice_len} * shape.num_pairs;
  const int64_t keys = int64_t{shape.num_keys} * shape.num_pairs;
  Workspace workspace;
  const auto place = [&](int64_t size_bytes) {
    const int64_t offset = workspace.size_bytes;
    workspace.size_bytes += RoundUp(size_bytes, kWorkspaceAlignment);
    return offset;
  };
  workspace.plan = place(kCudnnPlanWorkspaceBytes);
  workspace.lse = place(queries * kFloatBytes);
  workspace.delta = place(queries * kFloatBytes);
  workspace.dq_sum = place(queries * shape.head_dim * kFloatBytes);
  workspace.dkv = place(keys * 2 * shape.head_dim * kElementBytes);
  return workspace;
}

void* At(void* workspace, int64_t offset) { return static_cast<char*>(workspace) + offset; }

// The part of `role` (0 to num_roles - 1) from position `begin` on in a tensor
// [length, num_pairs, num_roles, head_dim].
struct Role {
  int64_t begin = 0;
  int64_t num_roles = 3;
  int64_t role = 0;
};
void* RoleOf(const void* tensor, const AttentionShape& shape, const Role& role) {
  const int64_t row = role.begin * shape.num_pairs * role.num_roles + role.role;
  return const_cast<char*>(static_cast<const char*>(tensor)) + row * shape.head_dim * kElementBytes;
}
void* Q(const void* qkv, const AttentionShape& shape) {
  return RoleOf(qkv, shape, {.begin = shape.prefix_len});
}
void* KeysOf(const void* qkv, const AttentionShape& shape, int64_t role) {
  return RoleOf(qkv, shape, {.role = role});
}

}  // namespace

std::optional<std::string> FindCudnnAttentionError(DType dtype, int64_t head_dim) {
  if (!Is16Bit(dtype)) {
    return fmt::format("cudnn attention has no {}; valid: bf16, fp16", Name(dtype));
  }
  if (head_dim <= 0 || head_dim > 128 || head_dim % 8 != 0) {
    return fmt::format("cudnn attention has no head_dim {}; valid: multiples of 8 up to 128",
                       head_dim);
  }
  return FindCudnnError();
}

int64_t CudnnAttentionWorkspaceBytes(const AttentionShape& largest) {
  return LayOut(largest).size_bytes;
}

void LaunchCudnnForward(const AttentionForwardParams& params, DType dtype, void* workspace,
                        cudaStream_t stream) {
  const AttentionShape& shape = params.shape;
  CudnnContext& context = ContextOfThread();
  const CudnnForwardGraph& graph =
      FindOrMake(context.forwards, shape, dtype, CudnnKeyGradients::kInDqkv, [&](auto* reason) {
        return MakeCudnnForward(shape, CudnnType(dtype), context.handle, reason);
      });
  const Workspace parts = LayOut(shape);
  auto* lse = static_cast<float*>(At(workspace, parts.lse));
  const std::array<CudnnOperand, 5> operands = {{{graph.q, Q(params.qkv, shape)},
                                                 {graph.k, KeysOf(params.qkv, shape, 1)},
                                                 {graph.v, KeysOf(params.qkv, shape, 2)},
                                                 {graph.out, params.out},
                                                 {graph.lse, lse}}};
  SLUICE_CUDNN_CHECK(Cudnn().set_stream(context.handle, stream));
  graph.plan.Execute(context.handle, operands, At(workspace, parts.plan));
  LaunchTranspose(lse, params.lse, {shape.num_pairs, shape.slice_len}, stream);
}

void LaunchCudnnBackward(const AttentionBackwardParams& params, DType dtype, void* workspace,
                         cudaStream_t stream) {
  const AttentionShape& shape = params.shape;
  const bool is_whole = shape.prefix_len == 0 && params.write_mode == WriteMode::kOverwrite;
  const auto key_gradients =
      is_whole ? CudnnKeyGradients::kInDqkv : CudnnKeyGradients::kInWorkspace;
  CudnnContext& context = ContextOfThread();
  const CudnnBackwardGraph& graph =
      FindOrMake(context.backwards, shape, dtype, key_gradients, [&](auto* reason) {
        return MakeCudnnBackward(shape, CudnnType(dtype), key_gradients, context.handle, reason);
      });
  const Workspace parts = LayOut(shape);
  auto* lse = static_cast<float*>(At(workspace, parts.lse));
  void* dkv = At(workspace, parts.dkv);
  const Role dv_in_workspace = {.num_roles = 2, .role = 1};
  const std::array<CudnnOperand, 11> operands = {
      {{graph.q, Q(params.qkv, shape)},
       {graph.k, KeysOf(params.qkv, shape, 1)},
       {graph.v, KeysOf(params.qkv, shape, 2)},
       {graph.out, const_cast<void*>(params.out)},
       {graph.dout, const_cast<void*>(params.dout)},
       {graph.lse, lse},
       {graph.delta, At(workspace, parts.delta)},
       {graph.dq_sum, At(workspace, parts.dq_sum)},
       {graph.dq, params.dqkv},
       {graph.dk, is_whole ? KeysOf(params.dqkv, shape, 1) : dkv},
       {graph.dv, is_whole ? KeysOf(params.dqkv, shape, 2) : RoleOf(dkv, shape, dv_in_workspace)}}};
  LaunchTranspose(params.lse, lse, {shape.slice_len, shape.num_pairs}, stream);
  SLUICE_CUDNN_CHECK(Cudnn().set_stream(context.handle, stream));
  graph.plan.Execute(context.handle, operands, At(workspace, parts.plan));
  if (is_whole) return;
  Dispatch16Bit(dtype, [&](auto element) {
    LaunchScatterKeyGradients<typename decltype(element)::type>(params, dkv, stream);
  });
}

}  // namespace sluice::cuda
