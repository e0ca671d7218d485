#include "parallel/plan/layer_plan.h"

#include "core/base/error.h"
#include "core/base/suggest.h"

namespace sluice {
namespace {

class Megatron : public TensorParallel {
 public:
  explicit Megatron(Communicator& group) : group_(group) {}

  ShardIndex shard() const override {
    return {.index = group_.rank(), .count = group_.world_size()};
  }
  bool splits_sequence() const override { return false; }
  void GatherRows(const Tensor&) override {}
  void SumPartials(const Tensor& partial) override {
    group_.AllReduce(PayloadOf(partial), ReduceOp::kSum);
  }

 protected:
  Communicator& group_;
};

class MegatronSequenceParallel : public Megatron {
 public:
  using Megatron::Megatron;

  bool splits_sequence() const override { return true; }
  void GatherRows(const Tensor& full) override {
    group_.AllGather(PayloadOf(OwnRows(full)), full.data());
  }
  void SumPartials(const Tensor& partial) override {
    group_.ReduceScatter(partial.data(), PayloadOf(OwnRows(partial)), ReduceOp::kSum);
  }
};

}  // namespace

std::string_view Name(PlanKind plan) {
  return plan == PlanKind::kMegatron ? "megatron" : "megatron_sequence_parallel";
}

std::vector<std::string> PlanNames() { return {"megatron", "megatron_sequence_parallel"}; }

PlanKind ParsePlan(std::string_view name) {
  for (const PlanKind plan : {PlanKind::kMegatron, PlanKind::kMegatronSequenceParallel}) {
    if (Name(plan) == name) return plan;
  }
  throw Error(UnknownName("plan", name, PlanNames()));
}

std::unique_ptr<TensorParallel> MakeTensorParallel(PlanKind plan, Communicator& group) {
  if (group.world_size() == 1) return std::make_unique<NoTensorParallel>();
  if (plan == PlanKind::kMegatron) return std::make_unique<Megatron>(group);
  return std::make_unique<MegatronSequenceParallel>(group);
}

}  // namespace sluice
