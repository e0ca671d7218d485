#include "core/kernels/cpu/gemm_avx512.h"

namespace sluice::cpu {
namespace {

struct Avx512 {
  static constexpr int kVectorBytes = 64;
  static constexpr int kMaxRows = 14;  // 32 registers
};

}  // namespace

void GemmAvx512(const GemmCall<float>& call) { GemmBlocks<Avx512, float>(call).Run(); }
void GemmAvx512(const GemmCall<double>& call) { GemmBlocks<Avx512, double>(call).Run(); }

}  // namespace sluice::cpu
