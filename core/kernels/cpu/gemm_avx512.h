// gemm_blocks.h compiled for AVX-512.  Call only where HasOwnGemm().
#pragma once

#include "core/kernels/cpu/gemm_blocks.h"

namespace sluice::cpu {

void GemmAvx512(const GemmCall<float>& call);
void GemmAvx512(const GemmCall<double>& call);

}  // namespace sluice::cpu
