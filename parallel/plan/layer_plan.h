// Layer plans: how the ranks of a tensor-parallel group meet inside a layer, on a Communicator.
//
//   megatron                    between matmuls every rank has all rows of the activations; partial
//                               sums are all-reduced, two a layer in the forward, two in the
//                               backward (Shoeybi et al., 1909.08053)
//   megatron_sequence_parallel  between matmuls a rank has its own rows only; partial sums are
//                               reduce-scattered, and inputs of matmuls all-gathered
//                               (Korthikanti et al., 2205.05198)
//
// A group of one needs neither: NoTensorParallel.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/tensor_parallel.h"
#include "parallel/comm/communicator.h"

namespace sluice {

enum class PlanKind : uint8_t { kMegatron, kMegatronSequenceParallel };

// "megatron", "megatron_sequence_parallel".
std::string_view Name(PlanKind plan);
std::vector<std::string> PlanNames();

// Throws Error with a suggestion on any other name.
PlanKind ParsePlan(std::string_view name);

// The plan of one rank.  `group` is its tensor-parallel group, and must outlive it.
std::unique_ptr<TensorParallel> MakeTensorParallel(PlanKind plan, Communicator& group);

}  // namespace sluice
